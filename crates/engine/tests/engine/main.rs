//! The engine with a real runtime, conmon and kernel, each test in namespaces of its own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod errors;
mod images;
mod lifecycle;
mod process;
mod speed;
mod survival;
mod volumes;
mod world;
