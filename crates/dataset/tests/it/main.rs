//! Indexes, splits, manifests, trees and cells of small folders.

mod build_tree;
mod cells;
mod decode;
mod index;
mod input;
mod k_fold;
mod manifest;
mod resize;
mod split;
mod support;
