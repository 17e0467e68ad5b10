//! The far end of causeway's integration tests, on other people's stacks.
