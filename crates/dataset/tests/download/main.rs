//! Downloads from a server on this machine that keeps to the rules, and from one that does not.

mod calls;
mod server;
mod support;
mod transfer;
mod unpacking;
