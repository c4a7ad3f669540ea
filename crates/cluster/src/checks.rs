//! What is checked of a request to init or join before anything is made, and what a manager's failure to start is called.

use engine_types::{Error, Result};
use swarm::manager;

use crate::addresses::{self, DEFAULT_PORT};
use crate::errors;

pub fn remotes(addrs: Vec<String>) -> Result<Vec<String>> {
    if addrs.is_empty() {
        return Err(Error::invalid("at least 1 RemoteAddr is required to join"));
    }
    let with_port = |a: &String| match addresses::split(a, DEFAULT_PORT)? {
        ("", _) => Err(Error::invalid(format!("invalid remote address \"{a}\""))),
        (host, port) if host.contains(':') => Ok(format!("[{host}]:{port}")),
        (host, port) => Ok(format!("{host}:{port}")),
    };
    addrs.iter().map(with_port).collect()
}

pub fn data_path_port(port: u32) -> Result<()> {
    if port != 0 && !(1024..=49151).contains(&port) {
        return Err(Error::invalid(format!(
            "Datapath port number is not in valid range (1024-49151) : {port}"
        )));
    }
    Ok(())
}

pub fn pools(bases: &[String], size: u32) -> Result<()> {
    if size > 29 {
        return Err(Error::system(format!(
            "subnet size is out of range: {size}"
        )));
    }
    for pool in bases {
        let net: ipnet::IpNet = pool.parse().map_err(|_| {
            Error::system(format!(
                "invalid base pool {pool}: want a network such as 10.20.0.0/16"
            ))
        })?;
        if size != 0 && u32::from(net.prefix_len()) > size {
            return Err(Error::system(format!(
                "invalid CIDR: \"{pool}\". Subnet size is too small for pool: {size}"
            )));
        }
    }
    Ok(())
}

pub fn manager_error(error: manager::Error) -> Error {
    match error {
        manager::Error::Listen { addr, source } => {
            let reason = match source.kind() {
                std::io::ErrorKind::AddrInUse => "address already in use".to_owned(),
                std::io::ErrorKind::AddrNotAvailable => {
                    "cannot assign requested address".to_owned()
                }
                _ => source.to_string(),
            };
            Error::system(format!(
                "manager stopped: failed to listen on remote API address: listen tcp {addr}: bind: {reason}"
            ))
        }
        manager::Error::Ca(e) => errors::from_ca(e),
        other => Error::system(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_addresses_get_the_port() {
        assert_eq!(
            remotes(vec!["10.0.0.1".into(), "h1:99".into()]).unwrap(),
            ["10.0.0.1:2377", "h1:99"]
        );
        assert_eq!(remotes(vec!["fd00::1".into()]).unwrap(), ["[fd00::1]:2377"]);
        assert_eq!(
            remotes(Vec::new()).unwrap_err().message,
            "at least 1 RemoteAddr is required to join"
        );
    }

    #[test]
    fn bounds() {
        assert!(data_path_port(0).is_ok() && data_path_port(4789).is_ok());
        assert_eq!(
            data_path_port(80).unwrap_err().message,
            "Datapath port number is not in valid range (1024-49151) : 80"
        );
        assert!(pools(&["10.20.0.0/16".into()], 24).is_ok());
        assert!(pools(&["10.20.0.0/16".into()], 30).is_err());
        assert!(pools(&["10.20.0.0/25".into()], 24).is_err());
        assert!(pools(&["pool".into()], 24).is_err());
    }
}
