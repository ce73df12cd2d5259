//! Duration of active waits of libtorch's threads. A separate test program, since waits affect the whole process.

#![cfg(target_os = "linux")]

use std::{
    hint::{black_box, spin_loop},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use malaria_libtorch::AdaptiveWaits;
use tch::{Device, Kind, Tensor};

/// Processor time that this process has used, in ticks of usually 10 ms: the 14th and 15th number of `stat`.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The first two are the number of the process and its name in parentheses.
    let times = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Processor time for operations, each followed by a pause in which threads wait for the next one.
fn operations() -> u64 {
    let x = Tensor::ones([1 << 18], (Kind::Float, Device::Cpu));
    let before = processor_time();
    for _ in 0..50 {
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
    let alone = operations();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Threads of this process compete for its processors like other processes.
        for _ in 0..3 * thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    spin_loop()
                }
            });
        }
        let start = Instant::now();
        while !waits.are_short() && start.elapsed() < Duration::from_secs(20) {
            waits.adapt();
            thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(waits.are_short());
    let short = operations();
    assert!(short * 3 < alone, "{short} ticks with short waits, {alone} with long ones");
}
