//! Tables of commands that are refused: exit code and text of each.

use lab::Host;

use super::{Differences, Shell as _, is_docker};

pub struct Row {
    command: &'static str,
    code: i32,
    text: &'static str,
    /// Of 20.10, where that differs.
    old: Option<(i32, &'static str)>,
}

pub const fn row(command: &'static str, code: i32, text: &'static str) -> Row {
    Row {
        command,
        code,
        text,
        old: None,
    }
}

impl Row {
    pub const fn old(mut self, text: &'static str) -> Self {
        self.old = Some((self.code, text));
        self
    }

    pub const fn old_code(mut self, code: i32, text: &'static str) -> Self {
        self.old = Some((code, text));
        self
    }
}

/// A row's text may end in `…`: what follows depends on the OCI runtime's version or on chance.
pub fn check(host: &Host, rows: &[Row]) {
    let mut differences = Differences::default();
    for row in rows {
        let output = host.sh(row.command);
        let (code, text) = match row.old {
            Some(old) if is_docker() => old,
            _ => (row.code, row.text),
        };
        let mut actual = unframed(&output.stderr);
        if let Some(start) = text.strip_suffix('…') {
            actual = match actual.contains(start) {
                true => text.to_string(),
                false => actual,
            };
        }
        differences.compare(
            row.command,
            &format!("{code}: {text}"),
            &format!("{}: {actual}", output.status),
        );
    }
    differences.assert_none();
}

/// Without what the CLI puts around a daemon's text, and without what differs from run to run.
pub fn unframed(stderr: &str) -> String {
    let text = stderr
        .split("\n\nRun 'docker")
        .next()
        .unwrap_or_default()
        .trim();
    let text = text.strip_suffix("exit status 1").unwrap_or(text).trim();
    let text = text.strip_prefix("docker: ").unwrap_or(text);
    let text = text
        .strip_prefix("Error response from daemon: ")
        .unwrap_or(text);
    let words = text.split_inclusive([' ', '"', '(', ')', '.', ',', ':', '\n']);
    words
        .map(|word| {
            let id = word.trim_end_matches([' ', '"', '(', ')', '.', ',', ':', '\n']);
            let hex = id.bytes().all(|b| b.is_ascii_hexdigit());
            let swarm = id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && id.bytes().any(|b| b.is_ascii_digit());
            match (id.len(), hex, swarm) {
                (12 | 64, true, _) | (25, _, true) => word.replace(id, "<id>"),
                _ => word.to_string(),
            }
        })
        .collect()
}
