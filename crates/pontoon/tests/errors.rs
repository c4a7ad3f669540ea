//! Docker's words and exit codes for what cannot be done, and nothing left behind.
//!
//! Each row is a command, its exit code and its standard error without the CLI's frame, ids as `<id>`. The texts are those
//! of Docker 28 (`daemon/`, `libnetwork/`, `runconfig/`, `api/types/`), swarm errors those of SwarmKit. Where 20.10 says
//! something else, the row names that too.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::run;
use common::refusal::{check, row};
use common::{Shell as _, World, footprint, is_docker};

const NO_CONTAINER: &str = "No such container: nope";

#[test]
fn containers() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    run(&h1, "c1", "");
    h1.ok("docker create --name made busybox true");
    let before = footprint(&h1);
    check(
        &h1,
        &[
            row("docker run --rm busybox /no/such", 127, "exec: \"/no/such\": stat /no/such: no such file or directory…"),
            row("docker run --rm busybox /etc", 126, "exec: \"/etc\": …"),
            row("docker run --pull never no-such", 125, "No such image: no-such:latest"),
            row("docker run --name c1 busybox true", 125,
                "Conflict. The container name \"/c1\" is already in use by container \"<id>\". You have to remove (or rename) that container to be able to reuse that name."),
            row("docker run --name -bad busybox true", 125,
                "Invalid container name (-bad), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
            row("docker run --rm -u nosuch busybox true", 125, "unable to find user nosuch: no matching entries in passwd file"),
            row("docker run --rm -w rel busybox true", 125, "the working directory 'rel' is invalid, it needs to be an absolute path"),
            row("docker run --rm --mount type=bind,src=/nope/nope,dst=/x busybox true", 125,
                "invalid mount config for type \"bind\": bind source path does not exist: /nope/nope"),
            row("docker run --rm -v /nope/nope:relative busybox true", 125,
                "invalid volume specification: '/nope/nope:relative': invalid mount config for type \"bind\": invalid mount path: 'relative' mount path must be absolute"),
            row("docker run --rm --memory 1k busybox true", 125, "Minimum memory limit allowed is 6MB"),
            row("docker run --rm --cap-add NOPE busybox true", 125, "invalid CapAdd: unknown capability: \"CAP_NOPE\""),
            row("docker run --rm --runtime nope busybox true", 125, "unknown or invalid runtime name: nope").old("Unknown runtime specified nope"),
            row("docker start nope", 1, "No such container: nope\nError: failed to start containers: nope"),
            row("docker stop nope", 1, NO_CONTAINER),
            row("docker restart nope", 1, NO_CONTAINER),
            row("docker kill nope", 1, "cannot kill container: nope: No such container: nope")
                .old("Cannot kill container: nope: No such container: nope"),
            row("docker kill made", 1, "cannot kill container: made: container <id> is not running")
                .old("Cannot kill container: made: Container <id> is not running"),
            row("docker kill -s NOPE c1", 1, "cannot kill container: c1: invalid signal: NOPE").old("Invalid signal: NOPE"),
            row("docker rm nope", 1, NO_CONTAINER),
            row("docker rm -f nope", 0, NO_CONTAINER),
            row("docker rm c1", 1, "cannot remove container \"c1\": container is running: stop the container before removing or force remove")
                .old("You cannot remove a running container <id>. Stop the container before attempting removal or force remove"),
            row("docker exec nope true", 1, NO_CONTAINER),
            row("docker exec made true", 1, "container <id> is not running").old("Container <id> is not running"),
            row("docker inspect nope", 1, "Error: No such object: nope"),
            row("docker logs nope", 1, NO_CONTAINER),
            row("docker wait nope", 1, NO_CONTAINER),
            row("docker attach nope", 1, NO_CONTAINER),
            row("docker top nope", 1, NO_CONTAINER),
            row("docker top made", 1, "container <id> is not running").old("Container <id> is not running"),
            row("docker pause made", 1, "container <id> is not running").old("Container <id> is not running"),
            row("docker unpause c1", 1, "Container <id> is not paused"),
            row("docker rename c1 c1", 1, "Renaming a container with the same name as its current name\nError: failed to rename container named c1"),
            row("docker rename c1 made", 1,
                "Error when allocating new name: Conflict. The container name \"/made\" is already in use by container \"<id>\". You have to remove (or rename) that container to be able to reuse that name.\nError: failed to rename container named c1"),
            row("docker cp nope:/etc/passwd /tmp/x", 1, NO_CONTAINER),
            row("docker cp c1:/nope /tmp/x", 1, "Could not find the file /nope in container c1"),
            row("docker rmi nope", 1, "No such image: nope:latest"),
            row("docker rmi busybox", 1,
                "conflict: unable to remove repository reference \"busybox\" (must force) - container <id> is using its referenced image <id>"),
            row("docker tag nope x", 1, "No such image: nope:latest"),
            row("docker save nope > /dev/null", 1, "No such image: nope…"),
            row("docker ps --filter nope=1", 1, "invalid filter 'nope'").old("Invalid filter 'nope'"),
            row("docker ps --filter status=nope", 1, "invalid filter 'status=nope': …").old("Invalid filter 'status=nope'"),
        ],
    );
    assert_eq!(footprint(&h1), before);
    world.end();
}

#[test]
fn networks() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create --subnet 10.1.0.0/24 net && docker network create auto");
    h1.ok("docker network create --subnet 10.4.0.0/30 tiny");
    run(&h1, "c1", "--network net -p 8080:80");
    run(&h1, "c2", "--network tiny");
    run(&h1, "plain", "");
    run(&h1, "hosted", "--network host");
    h1.ok("docker create --name made busybox true");
    let before = footprint(&h1);
    check(
        &h1,
        &[
            row("docker network inspect nope", 1, "network nope not found"),
            row("docker network rm nope", 1, "network nope not found"),
            row("docker network rm bridge", 1, "bridge is a pre-defined network and cannot be removed"),
            row("docker network rm net", 1, "error while removing network: network net has active endpoints (name:\"c1\" id:\"<id>\")")
                .old("error while removing network: network net id <id> has active endpoints"),
            row("docker network rm host", 1, "host is a pre-defined network and cannot be removed"),
            row("docker network rm none", 1, "none is a pre-defined network and cannot be removed"),
            row("docker network create none", 1, "operation is not permitted on predefined none network"),
            row("docker network create -d overlay --scope local x", 1, "cannot downgrade network scope for overlay networks"),
            row("docker network ls --filter dangling=true --filter dangling=false", 1, "got more than one value for filter key \"dangling\""),
            row("docker network prune -f --filter nope=1", 1, "invalid filter 'nope'").old("Invalid filter 'nope'"),
            row("docker network connect --ip 1.2.3 net plain", 1, "invalid endpoint settings:\ninvalid IPv4 address: 1.2.3")
                .old("Invalid IPv4 address: 1.2.3)"),
            row("docker network connect --ip6 fd00::x net plain", 1, "invalid endpoint settings:\ninvalid IPv6 address: fd00::x")
                .old("user specified IP address is supported only when connecting to networks with user configured subnets"),
            row("docker port c1 9999", 1, "Error: No public port '9999' published for c1"),
            row("docker run --rm --network net --mac-address x busybox true", 125, "x is not a valid mac address"),
            row("docker network create bridge", 1, "operation is not permitted on predefined bridge network"),
            row("docker network create net", 1, "network with name net already exists"),
            row("docker network create -d nope x", 1, "plugin \"nope\" not found"),
            row("docker network create --subnet 10.1.0.0/16 x", 1, "Pool overlaps with other one on this address space"),
            row("docker network create --subnet 10.1 x", 1, "invalid network config:\ninvalid subnet 10.1: invalid CIDR block notation")
                .old("Invalid subnet 10.1 : invalid CIDR address: 10.1"),
            row("docker network create --subnet 10.2.0.1/24 x && docker network rm x", 1, "invalid network config:\ninvalid subnet 10.2.0.1/24: it should be 10.2.0.0/24")
                .old_code(0, ""),
            row("docker network create -d overlay x", 1,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."),
            row("docker network create --scope swarm x", 1, "cannot create a swarm scoped network when swarm is not active"),
            row("docker network create --ingress x", 1, "Ingress network can only be global scope network"),
            row("docker network create --config-only --ingress x", 1,
                "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."),
            row("docker network create --config-from nope x", 1, "configuration network \"nope\" does not exist"),
            row("docker network connect nope c1", 1, "network nope not found"),
            row("docker network connect net nope", 1, NO_CONTAINER),
            row("docker network connect net c1", 1, "endpoint with name c1 already exists in network net"),
            row("docker network connect net hosted", 1,
                "container sharing network namespace with another container or host cannot be connected to any other network"),
            row("docker network connect host plain", 1,
                "cannot connect container to host network - container must be created in host network mode")
                .old("container cannot be disconnected from host network or connected to host network"),
            row("docker network connect none plain", 1,
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"),
            row("docker network connect --ip 10.7.0.1 net plain", 1, "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.7.0.1")
                .old("Invalid address 10.7.0.1: It does not belong to any of this network's subnets"),
            row("docker network disconnect net plain", 1, "container <id> is not connected to network net"),
            row("docker network disconnect nope plain", 1, "network nope not found"),
            row("docker network disconnect host hosted", 1,
                "cannot disconnect container from host network - container was created in host network mode")
                .old("container cannot be disconnected from host network or connected to host network"),
            row("docker network ls --filter nope=1", 1, "invalid filter 'nope'").old("Invalid filter 'nope'"),
            row("docker run --rm --network nope busybox true", 125, "failed to set up container networking: network nope not found")
                .old("network nope not found"),
            row("docker run --rm --network net --ip 10.1.0.2 busybox true", 125,
                "failed to set up container networking: Address already in use").old("Address already in use"),
            row("docker run --rm --network net --ip 10.9.0.1 busybox true", 125,
                "invalid config for network net: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.9.0.1")
                .old("Invalid address 10.9.0.1: It does not belong to any of this network's subnets"),
            row("docker run --rm --network auto --ip 172.18.0.9 busybox true", 125,
                "invalid config for network auto: invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets")
                .old("user specified IP address is supported only when connecting to networks with user configured subnets"),
            row("docker run --rm --ip 172.17.0.9 busybox true", 125,
                "user specified IP address is supported on user defined networks only…")
                .old("user specified IP address is supported on user defined networks only"),
            row("docker run --rm --network tiny busybox true", 125,
                "failed to set up container networking: no available IPv4 addresses on this network's address pools: tiny (<id>)")
                .old("no available IPv4 addresses on this network's address pools: tiny (<id>)"),
            row("docker run --rm -p 8080:80 busybox true", 125,
                "failed to set up container networking: driver failed programming external connectivity on endpoint …")
                .old("driver failed programming external connectivity on endpoint …"),
            row("docker run --rm --name late -p 8080:80 busybox true 2>&1 | grep -o 'Bind for .*' >&2", 0,
                "Bind for 0.0.0.0:8080 failed: port is already allocated"),
            row("docker run --rm --network container:nope busybox true", 125,
                "joining network namespace of container: No such container: nope").old(NO_CONTAINER),
            row("docker run --rm --network container:made busybox true", 125,
                "cannot join network namespace of a non running container: container made is created")
                .old("cannot join network of a non running container: <id>"),
            row("docker run --rm --network container:c1 -h x busybox true", 125, "conflicting options: hostname and the network mode"),
            row("docker run --rm --network container:c1 --dns 1.1.1.1 busybox true", 125, "conflicting options: dns and the network mode"),
            row("docker run --rm --network container:c1 -p 81:80 busybox true", 125,
                "conflicting options: port publishing and the container type network mode"),
            row("docker run --rm --network container:c1 --expose 80 busybox true", 125,
                "conflicting options: port exposing and the container type network mode"),
            row("docker run --rm --network container:c1 --add-host a:1.1.1.1 busybox true", 125,
                "conflicting options: custom host-to-IP mapping and the network mode"),
        ],
    );
    assert_eq!(footprint(&h1), before);
    // What failed has taken no address: the next is the lowest that is free.
    h1.ok("docker rm -f c2");
    run(&h1, "c3", "--network tiny");
    assert_eq!(common::container::address(&h1, "c3", "tiny"), "10.4.0.2");
    world.end();
}

#[test]
fn configurations_of_networks() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create --config-only --subnet 10.44.0.0/24 -o com.docker.network.driver.mtu=1400 --label a=b conf");
    h1.ok("docker network create --config-from conf net");
    let before = footprint(&h1);
    check(
        &h1,
        &[
            row("docker network rm conf", 1, "error while removing network: configuration network \"conf\" is in use"),
            row("docker network create --config-from conf again", 1, "Pool overlaps with other one on this address space"),
            row("docker network create --config-only --config-from conf x", 1,
                "a configuration network cannot depend on another configuration network"),
            row("docker network create --config-from conf --subnet 10.45.0.0/24 x", 1,
                "user specified configurations are not supported if the network depends on a configuration network"),
            row("docker network create --config-from conf --label c=d x", 1,
                "user specified configurations are not supported if the network depends on a configuration network"),
            row("docker network create --config-from conf -o com.docker.network.driver.mtu=1300 x", 1,
                "network driver options are not supported if the network depends on a configuration network"),
            row("docker network create --config-only --internal x", 1,
                "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."),
            row("docker run --rm --network conf busybox true", 125,
                "failed to set up container networking: cannot create endpoint on configuration-only network")
                .old("cannot create endpoint on configuration-only network"),
        ],
    );
    assert_eq!(footprint(&h1), before);
    // What it lends.
    let lent = h1.ok("docker network inspect -f '{{(index .IPAM.Config 0).Subnet}} {{.Options}} {{.Labels}} {{.ConfigFrom.Network}} {{.Driver}}' net");
    assert_eq!(
        lent,
        "10.44.0.0/24 map[com.docker.network.driver.mtu:1400] map[a:b] conf bridge"
    );
    h1.ok("docker network rm net && docker network rm conf");
    world.end();
}

#[test]
fn no_subnet_is_left() {
    let world = World::with_flags(
        &[1],
        &["--default-address-pool", "base=10.46.0.0/23,size=24"],
    );
    let [h1] = world.hosts();
    h1.ok("docker network create one");
    let none = if is_docker() {
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    } else {
        "all predefined address pools have been fully subnetted"
    };
    let refused = h1.sh("docker network create two");
    assert!(
        refused.status == 1 && refused.stderr.contains(none),
        "{}",
        refused.stderr
    );
    h1.ok("docker network rm one && docker network create two");
    world.end();
}
