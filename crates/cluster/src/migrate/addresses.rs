//! The addresses of a node that Docker leaves open and finds out at each start, written down.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use engine_types::{Error, Result};

use crate::stored::Stored;

/// `docker-state.json` with every address that this engine wants in it.
pub fn complete(stored: Stored, managers: &[String]) -> Result<Stored> {
    fill(stored, managers, route_to)
}

/// Docker's order: what was advertised, what was chosen, what it listens on, and the way to the managers.
fn fill(
    mut stored: Stored,
    managers: &[String],
    route_to: impl Fn(&str) -> Option<IpAddr>,
) -> Result<Stored> {
    let bad = |what: &str, text: &str| {
        Error::system(format!(
            "docker-state.json: {what} \"{text}\" is no address"
        ))
    };
    let listen: SocketAddr = match stored.listen_addr.parse() {
        Ok(listen) => listen,
        Err(_) => return Err(bad("ListenAddr", &stored.listen_addr)),
    };
    let advertise: Option<SocketAddr> = match stored.advertise_addr.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| bad("AdvertiseAddr", text))?),
    };
    let named = || stored.local_addr.parse().ok();
    let bound = || Some(listen.ip()).filter(|ip| !ip.is_unspecified());
    let routed = || {
        let remotes = managers.iter().chain([&stored.remote_addr]);
        remotes
            .filter(|addr| !addr.is_empty())
            .find_map(|addr| route_to(addr))
    };
    let ip = advertise
        .map(|a| a.ip())
        .or_else(named)
        .or_else(bound)
        .or_else(routed)
        .ok_or_else(|| {
            Error::system(
                "this host's address in the swarm is not known: no manager can be routed to",
            )
        })?;
    let advertise = advertise.unwrap_or(SocketAddr::new(ip, listen.port()));
    stored.local_addr = ip.to_string();
    stored.advertise_addr = advertise.to_string();
    match stored.data_path_addr.parse::<IpAddr>() {
        Ok(_) => {}
        Err(_) if stored.data_path_addr.is_empty() => stored.data_path_addr = ip.to_string(),
        Err(_) => return Err(bad("DataPathAddr", &stored.data_path_addr)),
    }
    Ok(stored)
}

/// The address that this host would use towards `remote`; nothing is sent.
fn route_to(remote: &str) -> Option<IpAddr> {
    ["0.0.0.0:0", "[::]:0"].iter().find_map(|any| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(remote).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stored: Stored, want: [&str; 3]) {
        let way = |remote: &str| (remote == "10.0.0.1:2377").then(|| IpAddr::from([10, 0, 0, 9]));
        let managers = ["10.0.0.7:2377".into(), "10.0.0.1:2377".into()];
        let got = fill(stored, &managers, way).unwrap();
        assert_eq!(
            [got.local_addr, got.advertise_addr, got.data_path_addr],
            want
        );
    }

    #[test]
    fn what_docker_left_open_is_found_as_docker_finds_it() {
        let any = Stored {
            listen_addr: "0.0.0.0:2378".into(),
            ..Default::default()
        };
        check(any.clone(), ["10.0.0.9", "10.0.0.9:2378", "10.0.0.9"]);
        let bound = Stored {
            listen_addr: "10.0.0.2:2377".into(),
            ..Default::default()
        };
        check(bound, ["10.0.0.2", "10.0.0.2:2377", "10.0.0.2"]);
        let all = Stored {
            local_addr: "10.0.0.3".into(),
            advertise_addr: "10.0.0.4:77".into(),
            data_path_addr: "10.1.0.4".into(),
            ..any.clone()
        };
        check(all, ["10.0.0.4", "10.0.0.4:77", "10.1.0.4"]);
        let nowhere = fill(any, &[], |_| None).unwrap_err();
        assert!(nowhere.message.contains("is not known"), "{nowhere}");
        let bad = Stored {
            listen_addr: "eth0".into(),
            ..Default::default()
        };
        assert_eq!(
            fill(bad, &[], |_| None).unwrap_err().message,
            "docker-state.json: ListenAddr \"eth0\" is no address"
        );
    }
}
