//! How libtorch's threads wait for each other, through `waiting.cpp`.

#![allow(
    unsafe_code,
    reason = "calls of C++; a training beside another process is half as fast again with them, see docs/performance.md"
)]

use std::{
    ffi::{c_char, c_void},
    fs,
    ptr::null_mut,
    time::{Duration, Instant},
};

use crate::shim::checked;

unsafe extern "C" {
    fn malaria_short_waits_begin(threads: *mut *mut c_void) -> *mut c_char;
    fn malaria_short_waits_end(threads: *mut c_void);
}

/// Interval between two checks of the threads.
const INTERVAL: Duration = Duration::from_millis(250);
/// Shares of the time, summed over threads, in which they were ready but waited for a processor. Waits become short above
/// the first and long below the second. Without other processes the share is below 0.01, beside one busy process above 0.3.
const CONTENDED: f64 = 0.15;
const ALONE: f64 = 0.03;

/// Adapts the waiting of libtorch's threads to the other load of the machine, for the duration of a training on the CPU.
///
/// Threads that share an operation wait for the slowest. While the process has the machine to itself, they wait actively,
/// which is faster; when it competes with others for processors, they soon sleep. Results do not depend on it. It has an
/// effect only on Linux.
#[derive(Debug, Default)]
pub struct AdaptiveWaits {
    last: Option<(Instant, Duration)>,
    short: Option<ShortWaits>,
}

impl AdaptiveWaits {
    /// Checks the threads, at most four times per second, and adapts their waiting. Call it after each step.
    pub fn adapt(&mut self) {
        let now = Instant::now();
        if self.last.is_some_and(|(then, _)| now - then < INTERVAL) {
            return;
        }
        let Some(delay) = run_delay() else { return };
        if let Some((then, before)) = self.last.replace((now, delay)) {
            // The delay of threads that have ended is lost.
            let share = delay.saturating_sub(before).as_secs_f64() / (now - then).as_secs_f64();
            if share > CONTENDED && self.short.is_none() {
                self.short = ShortWaits::begin();
            } else if share < ALONE {
                self.short = None;
            }
        }
    }

    /// Whether waits are short now.
    pub fn are_short(&self) -> bool {
        self.short.is_some()
    }
}

/// Waits are short while this object exists.
#[derive(Debug)]
struct ShortWaits(*mut c_void);

impl ShortWaits {
    /// `None` if no thread can be started.
    fn begin() -> Option<Self> {
        let mut threads = null_mut();
        // SAFETY: unless an error is returned, `threads` is a new object that this function owns.
        checked(unsafe { malaria_short_waits_begin(&mut threads) }).ok()?;
        Some(Self(threads))
    }
}

impl Drop for ShortWaits {
    fn drop(&mut self) {
        // SAFETY: the object of `begin`, deleted once.
        unsafe { malaria_short_waits_end(self.0) }
    }
}

/// Time for which the threads of this process were ready to run but waited for a processor: the second number of
/// `schedstat`. `None` if the system does not count it.
fn run_delay() -> Option<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        // A thread may have ended in the meantime.
        let Ok(counts) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        sum += counts.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(sum))
}
