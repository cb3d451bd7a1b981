//! The end-to-end tests, one program: a module for each concern.
#![allow(clippy::unwrap_used)]

mod adopt;
mod bad_input;
#[cfg(feature = "trainer")]
mod bad_training_input;
#[cfg(feature = "trainer")]
mod confidence;
mod corpus;
mod dependency_fence;
mod diff;
mod drawings;
#[cfg(feature = "trainer")]
mod environment;
mod examples;
#[cfg(feature = "trainer")]
mod foreign_weights;
mod gate;
#[cfg(feature = "trainer")]
mod hostile_runs;
mod hostile_zoo;
mod kills;
mod moved;
#[cfg(feature = "trainer")]
mod options;
#[cfg(feature = "trainer")]
mod own_data;
#[cfg(feature = "trainer")]
mod own_labels;
mod photographs;
mod pipes;
mod predict;
mod registry;
#[cfg(feature = "trainer")]
mod reproducing;
mod serve;
mod serve_bad_days;
mod serve_hostile;
mod serve_refusals;
mod serve_update;
mod share;
mod signing;
#[cfg(feature = "trainer")]
mod study;
mod tampering;
#[cfg(feature = "trainer")]
mod training;
mod verify;
