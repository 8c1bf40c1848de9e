//! Catch.
