//! Containers, their configuration and state, and exec.

mod config;
mod exec;
mod host_config;
mod inspect;
mod list;
mod mount;
mod networks;
mod state;

pub use config::{Config, CreateRequest, CreateResponse, HealthConfig, StrSlice};
pub use exec::{ExecCreateResponse, ExecInspect, ExecOptions, ExecStartOptions};
pub use host_config::{
    ContainerUpdate, DeviceMapping, HostConfig, LogConfig, PortBinding, Resources, RestartPolicy,
    Ulimit,
};
pub use inspect::{ContainerJSONBase, Descriptor, DriverData, InspectResponse};
pub use list::{HostConfigSummary, Port, Summary};
pub use mount::{BindOptions, Mount, MountPoint, TmpfsOptions, VolumeOptions};
pub use networks::{
    DefaultNetworkSettings, NetworkSettings, NetworkSettingsBase, NetworkSettingsSummary,
};
pub use state::{Health, HealthcheckResult, State, WaitExitError, WaitResponse};
