//! `--user`: names and numbers against the image's own `passwd` and `group` files.

use engine_types::{Error, Result};
use serde_json::{Value, json};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// From passwd; empty when it does not say.
    pub home: String,
}

impl User {
    pub fn spec(&self) -> Value {
        let mut user = json!({"uid": self.uid, "gid": self.gid});
        if !self.groups.is_empty() {
            user["additionalGids"] = json!(self.groups);
        }
        user
    }
}

/// `user`, `uid`, `user:group`, … with the two files' texts; `more` are `--group-add` groups.
pub(crate) fn resolve(text: &str, passwd: &str, group: &str, more: &[String]) -> Result<User> {
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let entry = rows(passwd, 7)
        .find(|row| row[0] == user)
        .or_else(|| rows(passwd, 7).find(|row| number.is_some() && row[2].parse().ok() == number));
    let mut resolved = User::default();
    let mut name = None;
    match (&entry, number) {
        (Some(row), _) => {
            let bad = || Error::invalid(format!("the image's passwd has a bad entry for {user}"));
            resolved.uid = row[2].parse().map_err(|_| bad())?;
            resolved.gid = row[3].parse().map_err(|_| bad())?;
            row[5].clone_into(&mut resolved.home);
            name = Some(row[0]);
        }
        (None, Some(uid)) => resolved.uid = uid,
        (None, None) => {
            return Err(Error::invalid(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    }
    match wanted_group {
        Some(wanted) => resolved.gid = find_group(wanted, group)?,
        // The user's other groups count only when no group was asked for.
        None => {
            if let Some(name) = name {
                resolved.groups = rows(group, 4)
                    .filter(|row| row[3].split(',').any(|member| member == name))
                    .filter_map(|row| row[2].parse().ok())
                    .collect();
            }
        }
    }
    // As the kernel has it after a login: without this, leaving the primary group would open files that forbid it.
    if !resolved.groups.contains(&resolved.gid) {
        resolved.groups.insert(0, resolved.gid);
    }
    for group_name in more {
        let gid = find_group(group_name, group)?;
        if !resolved.groups.contains(&gid) {
            resolved.groups.push(gid);
        }
    }
    Ok(resolved)
}

fn find_group(wanted: &str, group: &str) -> Result<u32> {
    rows(group, 4)
        .find(|row| row[0] == wanted)
        .and_then(|row| row[2].parse().ok())
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| {
            Error::invalid(format!(
                "unable to find group {wanted}: no matching entries in group file"
            ))
        })
}

/// Lines of `columns` parts between colons; shorter ones are not entries.
fn rows(text: &str, columns: usize) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter_map(move |line| {
        let row: Vec<&str> = line.trim().split(':').collect();
        (row.len() >= columns).then_some(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:w:/www:/bin/false\n";
        let group = "root:x:0:root\nwheel:x:10:root,www\nstaff:x:50:\n";
        let check = |text: &str, expected: Option<(u32, u32, &[u32])>| {
            let got = resolve(text, passwd, group, &[]).ok();
            let got = got.as_ref().map(|u| (u.uid, u.gid, u.groups.as_slice()));
            assert_eq!(got, expected, "{text:?}");
        };
        check("", Some((0, 0, &[0, 10])));
        check("www", Some((33, 34, &[34, 10])));
        check("33", Some((33, 34, &[34, 10])));
        check("www:staff", Some((33, 50, &[50])));
        check("1000", Some((1000, 0, &[0])));
        check("1000:2000", Some((1000, 2000, &[2000])));
        check("nobody", None);
        check("www:nogroup", None);
        let more = resolve("www", passwd, group, &["staff".into(), "7".into()]).unwrap();
        assert_eq!(more.groups, [34, 10, 50, 7]);
    }
}
