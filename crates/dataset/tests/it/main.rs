//! Indexes, splits, manifests, trees and cells of small folders.

mod build_tree;
mod cells;
mod decode;
mod index;
mod input;
mod k_fold;
mod list;
mod manifest;
mod patient_names;
mod resize;
mod split;
mod support;
