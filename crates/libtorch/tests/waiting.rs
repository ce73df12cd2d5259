//! How long libtorch's threads wait actively. A test program of its own, since waits are those of the whole process.

#![cfg(target_os = "linux")]

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use malaria_libtorch::AdaptiveWaits;
use tch::{Device, Kind, Tensor};

/// Time of the processor that this process has used.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let nanoseconds = threads.map(|thread| {
        let counts = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        counts.split_whitespace().next().map_or(0, |number| number.parse::<u64>().unwrap())
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Time of the processor for ten operations, each followed by a pause in which threads wait for the next one.
fn ten_operations() -> Duration {
    let x = Tensor::ones([1 << 18], (Kind::Float, Device::Cpu));
    let before = processor_time();
    for _ in 0..10 {
        let _ = black_box(x.exp());
        thread::sleep(Duration::from_millis(20));
    }
    processor_time() - before
}

#[test]
fn waits_become_short_beside_other_work() {
    if thread::available_parallelism().unwrap().get() == 1 {
        return;
    }
    let mut waits = AdaptiveWaits::default();
    let alone = ten_operations();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Threads of this process compete for its processors as other processes do.
        for _ in 0..3 * thread::available_parallelism().unwrap().get() {
            scope.spawn(|| while !stop.load(Ordering::Relaxed) {});
        }
        let start = Instant::now();
        while !waits.are_short() && start.elapsed() < Duration::from_secs(20) {
            waits.adapt();
            thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(waits.are_short());
    let short = ten_operations();
    assert!(short * 3 < alone, "{short:?} beside other work, {alone:?} alone");
}
