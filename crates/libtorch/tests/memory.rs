//! `keep_freed_memory` lets tensors reuse the memory of freed ones.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use malaria_libtorch::keep_freed_memory;
use tch::{Device, Kind, Tensor};

/// Page faults of this process so far.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name in parentheses: state, seven numbers, minflt.
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(7).unwrap().parse().unwrap()
}

/// Page faults of allocating and freeing a tensor of 40 MB ten times.
fn faults_of_ten_tensors() -> u64 {
    let before = page_faults();
    for _ in 0..10 {
        let tensor = Tensor::ones([10_000_000], (Kind::Float, Device::Cpu));
        assert_eq!(tensor.double_value(&[9_999_999]), 1.0);
    }
    page_faults() - before
}

#[test]
fn tensors_reuse_freed_memory() {
    let pages = 40_000_000 / 4096;
    // Only for the message, since large pages cause fewer faults.
    let by_default = faults_of_ten_tensors();
    keep_freed_memory();
    faults_of_ten_tensors();
    let kept = faults_of_ten_tensors();
    assert!(kept < pages / 10, "{kept} page faults, {by_default} by default");
}
