//! Why one container reaches another, or does not: the way of its packets, step by step.
//!
//! ```text
//!   sandbox ─► network ─► name ─► address ─► endpoint ─► rows ─► kernel ─► firewall ─► reply
//!   of both    shared     asked    which one  whose it     of the  what     between     a real echo
//!              by both    for real            is           way     differs  them        request
//! ```
//!
//! A step that is wrong does not end the walk while the next can still be taken; the first one is the answer. Nothing is
//! changed or put right on the way.

mod ask;
mod probe;
mod way;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::IpAddr;

use engine_types::pontoon::{Explanation, Step, StepState};
use engine_types::{Error, Result};
use netstate::Ns;

pub(crate) use self::ask::addresses;
use self::probe::{Echo, Neighbour};
use self::way::{Side, Way};
use crate::controller::Inner;
use crate::kernel::run_in;
use crate::model::Record;
use crate::state::State;
use crate::{Controller, Mode};

impl Controller {
    /// From a container to another one of this host, or to a name or an address as it would use it.
    pub async fn explain(&self, from: Known<'_>, to: Target<'_>) -> Result<Explanation> {
        let to_text = match to {
            Target::Container(known) => known.name,
            Target::Named(text) => text,
        };
        let mut story = Story(Explanation {
            from: from.name.into(),
            to: to_text.into(),
            ..Explanation::default()
        });
        self.0.walk(&mut story, from, to).await?;
        Ok(story.0)
    }
}

/// A container that the engine knows, running or not.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Container(Known<'a>),
    Named(&'a str),
}

/// The steps so far.
struct Story(Explanation);

impl Story {
    fn step(&mut self, name: &str, state: StepState, text: String, advice: String) {
        if state == StepState::Wrong && self.0.wrong.is_none() {
            self.0.wrong = Some(name.into());
        }
        self.0.steps.push(Step {
            name: name.into(),
            state,
            text,
            advice,
        });
    }
    fn ok(&mut self, name: &str, text: impl Into<String>) {
        self.step(name, StepState::Ok, text.into(), String::new());
    }
    fn skipped(&mut self, name: &str, text: impl Into<String>) {
        self.step(name, StepState::Skipped, text.into(), String::new());
    }
    fn wrong(&mut self, name: &str, text: impl Into<String>, advice: impl Into<String>) {
        self.step(name, StepState::Wrong, text.into(), advice.into());
    }
}

fn bare(record: &Record) -> &str {
    record.spec.container_name.trim_start_matches('/')
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match texts.is_empty() {
        true => "nothing".into(),
        false => texts.join(", "),
    }
}

impl State {
    /// The sandbox that a container's packets leave from: its own, or the one that it shares.
    fn sandbox_of(&self, container: &str) -> Option<&Record> {
        let record = self.records.get(container)?;
        match &record.spec.mode {
            Mode::Container(other) => self.records.get(other),
            _ => Some(record),
        }
    }

    fn networks_of(&self, record: &Record) -> BTreeSet<String> {
        let endpoints = record.endpoints.iter().filter(|e| !e.is_gateway);
        endpoints
            .filter_map(|e| Some(self.network(&e.network).ok()?.name.clone()))
            .collect()
    }
}

impl Inner {
    async fn walk(&self, story: &mut Story, from: Known<'_>, to: Target<'_>) -> Result<()> {
        let Some((source, ns)) = self.sandbox(story, from) else {
            return Ok(());
        };
        let target = match to {
            Target::Named(_) => None,
            Target::Container(known) => match self.sandbox(story, known) {
                None => return Ok(()),
                Some((target, _)) => Some(target),
            },
        };
        if let Some(target) = &target
            && !self.share_a_network(story, &source, target)
        {
            return Ok(());
        }
        let asked = match to {
            Target::Named(text) => text,
            Target::Container(known) => known.name,
        };
        let named = self.name(story, &source, &ns, asked).await;
        let Some(address) = self.address(story, &source, target.as_ref(), asked, named) else {
            return Ok(());
        };
        let Some(way) = self.endpoint(story, &source, address) else {
            return Ok(());
        };
        self.kernel_of(story, &way).await?;
        firewall(story, &way);
        self.reply(story, &way, &ns).await
    }

    fn sandbox(&self, story: &mut Story, of: Known<'_>) -> Option<(Record, Ns)> {
        let (state, name) = (self.state(), of.name);
        let Some(record) = state.sandbox_of(of.id) else {
            story.wrong(
                "sandbox",
                format!("container {name} has no network namespace: it does not run"),
                format!("docker start {name}"),
            );
            return None;
        };
        let Some(ns) = record.ns() else {
            story.wrong(
                "sandbox",
                format!("container {name} uses the host's network and has no endpoint of its own"),
                "it reaches what the host reaches, and is reached at the host's addresses",
            );
            return None;
        };
        let on = list(state.networks_of(record));
        story.ok("sandbox", format!("{name} is in namespace {ns}, on {on}"));
        Some((record.clone(), ns))
    }

    fn share_a_network(&self, story: &mut Story, a: &Record, b: &Record) -> bool {
        let state = self.state();
        let (of_a, of_b) = (state.networks_of(a), state.networks_of(b));
        let shared: Vec<_> = of_a.intersection(&of_b).cloned().collect();
        let (a, b) = (bare(a), bare(b));
        if !shared.is_empty() {
            story.ok(
                "network",
                format!("{a} and {b} are both on {}", list(shared)),
            );
            return true;
        }
        let advice = match of_b.first() {
            Some(network) => format!("docker network connect {network} {a}"),
            None => format!("docker network connect NETWORK {b}"),
        };
        let text = format!(
            "{a} and {b} have no network in common: {a} is on {}, {b} on {}",
            list(of_a),
            list(of_b)
        );
        story.wrong("network", text, advice);
        false
    }

    /// What the name means to the source's resolver; an address means itself.
    async fn name(
        &self,
        story: &mut Story,
        source: &Record,
        ns: &Ns,
        asked: &str,
    ) -> BTreeSet<IpAddr> {
        if let Ok(address) = asked.parse() {
            story.skipped("name", format!("{asked} is an address"));
            return [address].into();
        }
        let name = bare(source);
        if !self.state().needs_resolver(source) {
            story.skipped(
                "name",
                format!("{name} has no resolver: only networks that a user made have names"),
            );
            return BTreeSet::new();
        }
        let question = asked.to_string();
        let answer = run_in(self.kernel.as_ref(), ns, move || ask::ask(&question)).await;
        match answer {
            Ok(Ok(found)) if !found.is_empty() => {
                let text = format!("{asked} is {}, says the resolver of {name}", list(&found));
                story.ok("name", text);
                found
            }
            Ok(Ok(_)) => {
                story.wrong(
                    "name",
                    format!("the resolver of {name} knows no address of {asked}"),
                    format!(
                        "a name is known while its container runs, is healthy, and is on a network with {name}; of one on \
                         another host, that host tells by gossip (port 7946): docker network inspect -v"
                    ),
                );
                BTreeSet::new()
            }
            Ok(Err(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                story.wrong(
                    "name",
                    format!("the resolver of {name} gives no answer for {asked} in time"),
                    "a name that it does not know it asks other servers for: is the name right, and do those answer? if no name \
                     is answered, see the step kernel",
                );
                BTreeSet::new()
            }
            Ok(Err(error)) => {
                story.wrong(
                    "name",
                    format!("the resolver of {name} does not answer: {error}"),
                    "the rules that lead 127.0.0.11:53 to it are rows of the sandbox: see the step kernel",
                );
                BTreeSet::new()
            }
            Err(error) => {
                let advice = "see the step kernel, or start the container again";
                story.wrong("name", error.message, advice);
                BTreeSet::new()
            }
        }
    }

    /// The one address to go on with.
    fn address(
        &self,
        story: &mut Story,
        source: &Record,
        target: Option<&Record>,
        asked: &str,
        named: BTreeSet<IpAddr>,
    ) -> Option<IpAddr> {
        let state = self.state();
        let near = |ip: &IpAddr| {
            let networks = source.endpoints.iter().map(|e| state.network(&e.network));
            networks.flatten().any(|n| n.pool_of(ip).is_some())
        };
        let Some(target) = target else {
            let found = named.iter().copied().find(near);
            let found = found.or_else(|| named.first().copied());
            if found.is_none() && story.0.wrong.is_none() {
                let text = format!("no address of {asked} is known");
                story.wrong(
                    "address",
                    text,
                    "give the address, or a container of this host",
                );
            }
            return found;
        };
        let has: BTreeSet<IpAddr> = target
            .endpoints
            .iter()
            .filter(|e| source.endpoint_on(&e.network).is_some())
            .flat_map(|e| e.addresses().map(|a| a.addr()).collect::<Vec<_>>())
            .collect();
        let name = bare(target);
        match named.intersection(&has).next() {
            Some(address) => Some(*address),
            None if named.is_empty() => has.first().copied(),
            None => {
                story.wrong(
                    "address",
                    format!("{asked} leads to {}, and {name} has {}", list(&named), list(&has)),
                    "another container has that name or alias: docker network inspect shows whose address it is",
                );
                has.first().copied()
            }
        }
    }

    /// Whose address it is, and which rows lead there.
    fn endpoint(&self, story: &mut Story, source: &Record, address: IpAddr) -> Option<Way> {
        let state = self.state();
        let name = bare(source);
        let Some(way) = Way::find(&state, source, address) else {
            story.wrong(
                "endpoint",
                format!("{address} is on none of the networks of {name}, which has no way out"),
                format!("docker network connect NETWORK {name}, one that is not internal"),
            );
            return None;
        };
        let mut own = format!(
            "{name} is {} on {} ({})",
            list(way.from.addresses()),
            way.network.name,
            way.network.driver
        );
        if let Some(backends) = way.backends {
            own += &format!(
                ", {address} is a service's own address and leads to one of {backends} backends"
            );
        }
        let address = way.address;
        match &way.to {
            Side::Here(name) => {
                story.ok(
                    "endpoint",
                    format!("{own}, {address} is {name}, on this host"),
                );
            }
            Side::There(peer) => {
                let (mac, vtep) = (peer.mac, peer.vtep);
                story.ok(
                    "endpoint",
                    format!("{own}, {address} is {mac} behind {vtep}"),
                );
            }
            Side::Gateway => story.ok("endpoint", format!("{own}, {address} is its gateway")),
            Side::Outside => story.ok("endpoint", format!("{own}, {address} is outside of it")),
            Side::Nobody => {
                let advice = match way.lazy {
                    true => {
                        "no node has told of it: does the container run, is its node up (docker node ls), does port 7946 pass \
                             (TCP and UDP)"
                    }
                    false => {
                        "no container has this address: docker network inspect lists those that are taken"
                    }
                };
                let text = format!("{own}, and nobody is known at {address}");
                story.wrong("endpoint", text, advice);
            }
        }
        story.ok("rows", format!("{} are wanted for the way", way.rows.len()));
        Some(way)
    }

    async fn kernel_of(&self, story: &mut Story, way: &Way) -> Result<()> {
        let found = self.kernel.compare().await.map_err(Error::system)?;
        let mut wrong: Vec<_> = found
            .differences
            .into_iter()
            .filter(|d| way.rows.contains(&d.row))
            .collect();
        wrong.sort_by_key(|d| way::rank(&d.row));
        let Some(first) = wrong.first() else {
            story.ok("kernel", "has all of them");
            return Ok(());
        };
        let more = match wrong.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let advice = match found.held.is_zero() {
            true => "it is put right within a second; if it stays so, the daemon's log says why (could not heal)".into(),
            false => format!(
                "healing is held for another {} s: pontoon drift --hold 0",
                found.held.as_secs()
            ),
        };
        story.wrong("kernel", format!("{}{more}", first.text), advice);
        Ok(())
    }

    /// The proof: an echo request and its reply.
    async fn reply(&self, story: &mut Story, way: &Way, ns: &Ns) -> Result<()> {
        let address = way.address;
        let kernel = self.kernel.as_ref();
        let echo = match run_in(kernel, ns, move || probe::echo(address)).await {
            Ok(echo) => echo,
            Err(error) => {
                story.wrong("reply", error.message, "start the container again");
                return Ok(());
            }
        };
        let silent = match echo {
            Echo::Answered(took) => {
                story.0.reached = true;
                let text = format!(
                    "{address} answered an echo request in {} µs",
                    took.as_micros()
                );
                story.ok("reply", text);
                return Ok(());
            }
            Echo::Failed(error) => {
                let text = format!("an echo request to {address} cannot be sent: {error}");
                story.wrong(
                    "reply",
                    text,
                    "routes and addresses inside the container: see the step kernel",
                );
                return Ok(());
            }
            Echo::Silent(silent) => silent,
        };
        let what = match silent {
            Neighbour::Unanswered => format!("nobody answers ARP for {address}"),
            Neighbour::At(mac) => {
                format!("{address} is known as {mac} and does not answer an echo request")
            }
            Neighbour::Unknown => format!("{address} does not answer an echo request"),
        };
        match &way.to {
            Side::There(peer) => {
                let vtep = peer.vtep;
                let host = run_in(kernel, &Ns::Host, move || probe::echo(vtep)).await?;
                let (host, advice) = match host {
                    Echo::Answered(_) => (
                        format!("host {vtep} answers"),
                        "does the tunnel's UDP port (4789, unless another was chosen) pass between the hosts? if so, ask \
                         there: pontoon network explain"
                            .to_string(),
                    ),
                    _ => (
                        format!("host {vtep} does not answer either"),
                        "is it up, and is there a route to it?".to_string(),
                    ),
                };
                story.wrong("reply", format!("{what}; {host}"), advice);
            }
            Side::Outside | Side::Gateway => {
                story.wrong(
                    "reply",
                    what,
                    "the way beyond this host's bridge is not ours to see",
                );
            }
            Side::Here(name) => {
                let advice = format!(
                    "what is inside {name} may have changed its interface or filter its packets"
                );
                story.wrong("reply", what, advice);
            }
            Side::Nobody => story.wrong("reply", what, "see the step endpoint"),
        }
        Ok(())
    }
}

fn firewall(story: &mut Story, way: &Way) {
    let network = &way.network.name;
    match &way.to {
        Side::Here(_) if way.isolated() => story.wrong(
            "firewall",
            format!("{network} keeps its containers apart: their ports on the bridge are isolated"),
            "use a network that was made without -o com.docker.network.bridge.enable_icc=false",
        ),
        Side::Here(_) => story.ok(
            "firewall",
            format!("nothing of ours is in between on {network}"),
        ),
        _ => story.skipped("firewall", "what others filter is not ours to see"),
    }
}
