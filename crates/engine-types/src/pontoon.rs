//! What Pontoon adds to the API, below `/pontoon/`: what is wanted of the kernel against what is there, and why one
//! container does not reach another.

use serde::{Deserialize, Serialize};

/// `GET /pontoon/drift`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Drift {
    /// Objects that are wanted now.
    pub wanted: u64,
    /// Since the daemon's start: changes that were asked for and made, …
    pub applied: u64,
    /// … what others had changed or removed and was put right, …
    pub healed: u64,
    /// … and what could not be made or put right.
    pub failed: u64,
    /// Seconds for which nothing is put right, because somebody asked for that.
    pub held_seconds: u64,
    /// What differs right now, in words.
    pub differences: Vec<Difference>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Difference {
    /// The network namespace: `host`, or one of ours by name.
    pub netns: String,
    pub text: String,
}

/// `GET /pontoon/explain`: the way from one container to another, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Explanation {
    pub from: String,
    pub to: String,
    /// An echo request was answered.
    pub reached: bool,
    pub steps: Vec<Step>,
    /// The name of the first step that is wrong.
    pub wrong: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Step {
    pub name: String,
    pub state: StepState,
    pub text: String,
    /// What to do about it.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    #[default]
    Ok,
    Wrong,
    /// It says nothing here.
    Skipped,
}
