//! From folders on disk to splits, manifests, trees and arrays of pixels.

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
