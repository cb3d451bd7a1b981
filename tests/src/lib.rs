//! End-to-end tests that cross crates, and the gate that published models keep their accuracy.
