//! What speaks against moving the node, in words that say what to do about it.

use std::path::Path;
use std::time::SystemTime;

use engine_types::Result;
use swarm::agent::known_managers;
use swarm::ca::Identity;

use super::docker::{self, Container};
use super::{ASIDE, Node, Plan, Roots, SWARM, addresses, identity};
use crate::stored;

impl Roots {
    /// Before [`Roots::apply`].
    pub fn look(&self) -> Plan {
        let mut plan = Plan {
            from: self.docker.clone(),
            to: self.pontoon.clone(),
            ..Default::default()
        };
        let (docker, pontoon) = (self.docker.join(SWARM), self.pontoon.join(SWARM));
        let aside = self.docker.join(ASIDE);
        if same(&self.docker, &self.pontoon) {
            plan.refuse(format!(
                "{}: both engines cannot keep their data in one directory: give this engine another --data-root",
                self.docker.display()
            ));
        }
        if aside.exists() {
            plan.refuse(format!(
                "{}: this node was moved before; pontoon migrate --undo takes it back",
                aside.display()
            ));
        } else if !is_member(&docker) {
            plan.refuse(format!(
                "{}: dockerd's node is in no swarm; if its data is elsewhere, say --from",
                docker.display()
            ));
        } else {
            match self.node(&docker) {
                Ok((node, identity)) => {
                    if identity.manager {
                        plan.refuse(format!(
                            "node {0} is a manager of a Docker swarm, and this engine cannot be a Raft peer of Docker's managers: make it a \
                             worker first (on another manager: docker node demote {0}), then move it",
                            node.id
                        ));
                    }
                    plan.node = Some(node);
                }
                Err(error) => plan.refuse(error.message),
            }
        }
        if is_member(&pontoon) {
            plan.refuse(format!(
                "{}: this engine is in a swarm already; leave it first (docker swarm leave)",
                pontoon.display()
            ));
        }
        match docker::containers(&self.docker) {
            Ok(containers) => {
                self.docker_stops(&mut plan, &containers);
                match docker::leaves(&self.docker, &containers) {
                    Ok(leaves) => plan.leaves = leaves,
                    Err(error) => plan.refuse(error),
                }
            }
            Err(error) => plan.refuse(error),
        }
        self.pontoon_stops(&mut plan);
        plan.then = vec![
            format!("keep dockerd from starting again: systemctl disable docker.socket docker; start this engine: pontoon daemon --data-root {}", self.pontoon.display()),
            "Docker's firewall rules stay until the host boots again; its policy for forwarded packets keeps others out of the ports that \
             this engine publishes: iptables -P FORWARD ACCEPT"
                .into(),
        ];
        plan
    }

    /// Before [`Roots::undo`].
    pub fn look_back(&self) -> Plan {
        let mut plan = Plan {
            from: self.pontoon.clone(),
            to: self.docker.clone(),
            ..Default::default()
        };
        let (docker, pontoon) = (self.docker.join(SWARM), self.pontoon.join(SWARM));
        let aside = self.docker.join(ASIDE);
        if is_member(&docker) {
            plan.refuse(format!(
                "{}: dockerd's node has joined a swarm since; leave it first (docker swarm leave)",
                docker.display()
            ));
        }
        match identity(&aside) {
            _ if !aside.exists() => plan.refuse(format!(
                "{}: there is none, so no node was moved from there",
                aside.display()
            )),
            // It may have expired meanwhile: what counts then is ours.
            moved if is_member(&pontoon) => match self.node(&pontoon) {
                Ok((node, _)) => {
                    if let Ok(moved) = moved
                        && moved.node_id != node.id
                    {
                        plan.refuse(format!(
                            "this engine is node {} by now, not {}, which was moved: leave that swarm first (docker swarm leave)",
                            node.id, moved.node_id
                        ));
                    }
                    plan.node = Some(node);
                }
                Err(error) => plan.refuse(error.message),
            },
            // It has left the swarm here, or a move was cut short.
            Ok(_) => plan.node = self.node(&aside).ok().map(|(node, _)| node),
            Err(error) => plan.refuse(error.message),
        }
        if let Ok(containers) = docker::containers(&self.docker) {
            self.docker_stops(&mut plan, &containers);
        }
        self.pontoon_stops(&mut plan);
        plan.then = vec!["start dockerd: systemctl enable --now docker.socket docker".into()];
        plan
    }

    fn node(&self, dir: &Path) -> Result<(Node, Identity)> {
        let identity = identity(dir)?;
        let managers = known_managers(dir);
        let stored = stored::load(dir)?.unwrap_or_default();
        if stored.join_in_progress {
            return Err(engine_types::Error::conflict(format!(
                "{}: the node is still joining its swarm; wait for it",
                dir.display()
            )));
        }
        let stored = addresses::complete(stored, &managers)?;
        let node = Node {
            id: identity.node_id.clone(),
            swarm_id: identity.cluster_id.clone(),
            expires: time(identity.not_after()),
            managers,
            listen: stored.listen_addr,
            advertise: stored.advertise_addr,
            data_path: stored.data_path_addr,
        };
        Ok((node, identity))
    }

    /// Under a running dockerd the node's certificate would be at work twice, and its containers would be cut.
    fn docker_stops(&self, plan: &mut Plan, containers: &[Container]) {
        let daemon = docker::daemon_runs(&self.docker);
        let names = |task: bool| {
            let running = containers.iter().filter(|c| c.runs && c.task == task);
            running
                .map(|c| c.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (tasks, own) = (names(true), names(false));
        if !daemon && (!tasks.is_empty() || !own.is_empty()) {
            plan.first.push(format!(
                "containers run although their dockerd does not: start it, so that they can be stopped in good order: {tasks} {own}"
            ));
            return;
        }
        if !tasks.is_empty() {
            plan.first.push(format!(
                "tasks run under dockerd and would be cut: {tasks}; move them away (on a manager: docker node update --availability drain {})",
                plan.node.as_ref().map_or("NODE", |node| &node.id)
            ));
        }
        if !own.is_empty() {
            plan.first.push(format!(
                "containers run under dockerd and would be cut: {own}; stop them (docker stop)"
            ));
        }
        if daemon {
            plan.first.push(format!(
                "dockerd runs on {}: stop it (systemctl stop docker.socket docker)",
                self.docker.display()
            ));
        }
    }

    /// Our own engine reads its place in a swarm when it starts; its containers would go on without it.
    fn pontoon_stops(&self, plan: &mut Plan) {
        let dirs = std::fs::read_dir(self.exec.join("containers"));
        let running = dirs.into_iter().flatten().flatten().filter_map(|dir| {
            let id = dir.file_name().into_string().ok()?;
            let pid = std::fs::read_to_string(dir.path().join("pid")).ok()?;
            docker::runs(pid.trim().parse().ok()?, &id).then(|| id.chars().take(12).collect())
        });
        let running: Vec<String> = running.collect();
        if !running.is_empty() {
            plan.first.push(format!(
                "containers run under this engine: {}; stop them (docker stop; tasks, on a manager: docker node update --availability drain {})",
                running.join(", "),
                plan.node.as_ref().map_or("NODE", |node| &node.id)
            ));
        }
        if docker::is_locked(&self.pontoon.join("engine.redb")) {
            plan.first.push(format!(
                "this engine runs on {}: stop it (SIGTERM to pontoon daemon)",
                self.pontoon.display()
            ));
        }
    }
}

impl Plan {
    fn refuse(&mut self, why: String) {
        self.refused.push(why);
    }
}

/// What an engine without a swarm leaves there is at most an empty directory.
fn is_member(dir: &Path) -> bool {
    stored::state_file(dir).exists() || dir.join("certificates").exists()
}

fn time(at: SystemTime) -> String {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    engine_types::Time::from_unix(seconds, 0)
        .as_str()
        .to_owned()
}

fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(a) == real(b)
}
