//! What a service's labels say of which task a client reaches: choices that Docker's command line has no flag for.
//!
//! ```text
//!   pontoon.balance.sticky=true      all connections of a container reach the same task, and through a published port all of
//!                                    a client's address, on whichever node
//!   pontoon.balance.leastconn=true   a task that the client's node has the fewest open connections to: what other nodes
//!                                    have there, and what comes by the mesh, it does not know; the mesh chooses any
//!   pontoon.balance.prefer=node      tasks on the client's node (of the mesh: on the node that was asked), as long as there
//!                                    is one; or zone: on nodes with its label zone
//! ```

use cnm::{Balance, Prefer};
use engine_types::{Error, Result};

const PREFIX: &str = "pontoon.balance.";

/// A label that says nothing which is understood is the user's mistake.
pub fn balance<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<Balance> {
    let mut balance = Balance::default();
    for (label, value) in labels {
        let Some(what) = label.strip_prefix(PREFIX) else {
            continue;
        };
        let bad = |why: &str| Error::invalid(format!("invalid label {label}={value}: {why}"));
        match (what, value.as_str()) {
            ("sticky", "true") => balance.sticky = true,
            ("sticky", "false") => balance.sticky = false,
            ("leastconn", "true") => balance.least = true,
            ("leastconn", "false") => balance.least = false,
            ("sticky" | "leastconn", _) => return Err(bad("want true or false")),
            ("prefer", "node") => balance.prefer = Prefer::Node,
            ("prefer", "zone") => balance.prefer = Prefer::Zone,
            ("prefer", "any") => balance.prefer = Prefer::Any,
            ("prefer", _) => return Err(bad("want node, zone or any")),
            _ => {
                let want = ["sticky", "leastconn", "prefer"].map(|what| format!("{PREFIX}{what}"));
                return Err(bad(&format!("want {}", want.join(" or "))));
            }
        }
    }
    if balance.sticky && balance.least {
        return Err(Error::invalid(
            "labels pontoon.balance.sticky=true and pontoon.balance.leastconn=true exclude each other",
        ));
    }
    Ok(balance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Result<Balance> {
        let labels: Vec<_> = labels
            .iter()
            .map(|(l, v)| ((*l).to_owned(), (*v).to_owned()))
            .collect();
        balance(labels.iter().map(|(l, v)| (l, v)))
    }

    #[test]
    fn labels_choose() {
        let both = [
            ("pontoon.balance.sticky", "true"),
            ("pontoon.balance.prefer", "zone"),
        ];
        let expected = Balance {
            sticky: true,
            least: false,
            prefer: Prefer::Zone,
        };
        assert_eq!(read(&both), Ok(expected));
        let least = read(&[("pontoon.balance.leastconn", "true")]);
        assert!(least.is_ok_and(|balance| balance.least));
        let sticky = ("pontoon.balance.sticky", "true");
        assert!(read(&[("pontoon.balance.leastconn", "true"), sticky]).is_err());
        assert_eq!(
            read(&[("com.example.tier", "front")]),
            Ok(Balance::default())
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (label, value) in [
            ("pontoon.balance.sticky", "yes"),
            ("pontoon.balance.leastconn", "2"),
            ("pontoon.balance.prefer", "rack"),
            ("pontoon.balance.least", "true"),
        ] {
            let error = read(&[(label, value)]).unwrap_err();
            let begin = format!("invalid label {label}={value}: want ");
            assert!(error.message.starts_with(&begin), "{error:?}");
        }
    }
}
