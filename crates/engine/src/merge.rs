//! What an image says, where a request to create a container does not.

use std::collections::BTreeMap;

use engine_types::PortSet;
use engine_types::container::Config;

/// What the image says, where the request does not (Docker's `merge`).
pub(crate) fn merge(config: &mut Config, image: &Config) {
    fn fill<T: Clone + Default + PartialEq>(value: &mut T, from: &T) {
        if *value == T::default() {
            value.clone_from(from);
        }
    }
    fn union<T: Clone>(
        value: &mut Option<BTreeMap<String, T>>,
        from: &Option<BTreeMap<String, T>>,
    ) {
        for (key, item) in from.iter().flatten() {
            let map = value.get_or_insert_default();
            map.entry(key.clone()).or_insert_with(|| item.clone());
        }
    }
    fill(&mut config.user, &image.user);
    fill(&mut config.working_dir, &image.working_dir);
    fill(&mut config.stop_signal, &image.stop_signal);
    fill(&mut config.stop_timeout, &image.stop_timeout);
    fill(&mut config.shell, &image.shell);
    for (port, nothing) in image.exposed_ports.iter().flat_map(PortSet::iter) {
        config
            .exposed_ports
            .get_or_insert_default()
            .insert(&port, nothing);
    }
    union(&mut config.labels, &image.labels);
    union(&mut config.volumes, &image.volumes);
    for variable in image.env.iter().flatten() {
        let env = config.env.get_or_insert_default();
        let key = |text: &str| text.split('=').next().map(str::to_owned);
        if !env.iter().any(|have| key(have) == key(variable)) {
            env.push(variable.clone());
        }
    }
    let empty = |slice: &Option<Vec<String>>| slice.as_ref().is_none_or(Vec::is_empty);
    if empty(&config.entrypoint) {
        if empty(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    // `--entrypoint ""` takes the image's away.
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    match (&mut config.healthcheck, &image.healthcheck) {
        (Some(own), Some(image)) => {
            fill(&mut own.test, &image.test);
            fill(&mut own.interval, &image.interval);
            fill(&mut own.timeout, &image.timeout);
            fill(&mut own.start_period, &image.start_period);
            fill(&mut own.start_interval, &image.start_interval);
            fill(&mut own.retries, &image.retries);
        }
        (own @ None, Some(image)) => *own = Some(image.clone()),
        _ => {}
    }
}
