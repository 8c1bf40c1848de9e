//! The `shardmark` binary.

fn main() {}
