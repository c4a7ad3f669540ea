//! The messages, as Docker's engine and its plugins write them.

pub mod ipam;
pub mod network;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What we speak, in both directions; a peer of 1.0 or 1.1 takes no offence.
pub const MIME: &str = "application/vnd.docker.plugins.v1.2+json";

/// Longer texts of plugins are cut.
const MAX_TEXT: usize = 1024;

#[derive(Debug, PartialEq)]
pub enum Fault {
    Refused(String),
    Nonsense(String),
}

/// Network drivers say `Err`, IPAM drivers `Error`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(rename = "Err", deserialize_with = "engine_types::null_default")]
    err: String,
    #[serde(rename = "Error", deserialize_with = "engine_types::null_default")]
    error: String,
}

/// The body of an answer with status 200. As with Go's decoder, what comes behind the value does not matter.
pub fn answer<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let nonsense = |e: serde_json::Error| Fault::Nonsense(e.to_string());
    let refusal: Refusal = first(body).map_err(nonsense)?;
    match [refusal.err, refusal.error]
        .into_iter()
        .find(|t| !t.is_empty())
    {
        Some(text) => Err(Fault::Refused(readable(&text))),
        None => first(body).map_err(nonsense),
    }
}

/// The object that the text begins with. A list would pass for one, field after field.
pub fn first<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let begin = body.iter().find(|b| !b.is_ascii_whitespace());
    if begin.is_some_and(|b| *b != b'{') {
        return Err(serde::de::Error::custom("expected an object"));
    }
    T::deserialize(&mut serde_json::Deserializer::from_slice(body))
}

/// The body of an answer with another status: `{"Err": …}`, or bare text.
pub fn refusal(body: &[u8]) -> String {
    let parsed: Option<Refusal> = first(body).ok();
    let text = parsed.and_then(|r| [r.err, r.error].into_iter().find(|t| !t.is_empty()));
    match text {
        Some(text) => readable(&text),
        None => readable(&String::from_utf8_lossy(body)),
    }
}

/// A plugin's text as a line that can be shown.
pub fn readable(text: &str) -> String {
    let line = text.trim().chars().take(MAX_TEXT);
    line.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `POST /Plugin.Activate`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manifest {
    #[serde(rename = "Implements", deserialize_with = "engine_types::null_default")]
    pub implements: Vec<String>,
}

/// An answer without content.
#[derive(Debug, Default, Deserialize)]
pub struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let read = |body: &str| answer::<Manifest>(body.as_bytes()).map(|m| m.implements);
        assert_eq!(
            read(r#"{"Implements":["NetworkDriver"]}"#),
            Ok(vec!["NetworkDriver".into()])
        );
        assert_eq!(read("{\"Implements\":null}\n"), Ok(vec![]));
        assert_eq!(read("{} trailing"), Ok(vec![]));
        assert_eq!(
            read(r#"{"Err":"no\nwater"}"#),
            Err(Fault::Refused("no water".into()))
        );
        assert_eq!(
            read(r#"{"Err":null,"Error":"x"}"#),
            Err(Fault::Refused("x".into()))
        );
        for bad in [
            "",
            "[]",
            "null?",
            "{\"Implements\":7}",
            "\u{0}",
            &"[".repeat(1000),
        ] {
            assert!(matches!(read(bad), Err(Fault::Nonsense(_))), "{bad:?}");
        }
        assert_eq!(refusal(br#"{"Err":"x"}"#), "x");
        assert_eq!(refusal(b"  404 page not found\n"), "404 page not found");
        assert_eq!(refusal(&[b'a'; 5000]).len(), MAX_TEXT);
    }
}
