//! Feeds damaged files to readers in their tests: [`Alone::fuzz`] damages valid samples, adds random bytes, and fails if the
//! reader panics or takes more memory than allowed.
//!
//! A test tries a few hundred inputs, which are the same every time. Under `cargo xtask fuzz` it continues with new inputs
//! for [`SECONDS`].

mod mutation;

use std::{
    cell::RefCell,
    env,
    ffi::OsString,
    fs,
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// Environment variable with the number of seconds that a target runs for.
pub const SECONDS: &str = "MALARIA_FUZZ_SECONDS";
/// Environment variable with the path of a file, to which each target appends its name and the number of inputs tried.
pub const TALLY: &str = "MALARIA_FUZZ_TALLY";

/// Inputs of a test, and of one round of a longer run.
const CASES: u32 = 192;
/// Limit of the process's address space in bytes, for memory that the allocator does not count. Without it, a reader could
/// exhaust the machine's memory.
const MAX_ADDRESS_SPACE: u64 = 16 << 30;

/// Counts the memory that a test program takes from Rust's allocator.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Lets one test of a process run at a time, since their memory is counted together.
static TURN: Mutex<()> = Mutex::new(());

/// The right of a test to run alone in its process, until it is dropped.
pub struct Alone {
    _turn: MutexGuard<'static, ()>,
}

/// Waits until no other test is [`Alone`]. Call it before a test allocates memory.
pub fn alone() -> Alone {
    limit_addresses();
    // The failure of another test does not matter here.
    Alone { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
}

impl Alone {
    /// Peak memory of `work` in bytes, as counted by Rust's allocator.
    pub fn memory_of(&self, work: impl FnOnce()) -> usize {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        work();
        MEMORY.peak_usage().saturating_sub(before)
    }

    /// Feeds damaged `samples` to `read`, which may refuse them, but must not panic or take more than `max_memory` bytes in addition to
    /// its input.
    ///
    /// # Panics
    /// If it does, with the reason and the path of a file with the smallest such input found. If [`SECONDS`] is not a number of
    /// seconds.
    pub fn fuzz(&self, target: &str, samples: &[Vec<u8>], max_memory: usize, read: impl Fn(&[u8])) {
        let seconds = env::var_os(SECONDS).map(duration);
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            max_shrink_iters: 4096,
            rng_seed: if seconds.is_some() { RngSeed::Random } else { RngSeed::Fixed(0) },
            ..Config::default()
        };
        let inputs = mutation::damaged(samples);
        let tried = RefCell::new(0_u64);
        let started = Instant::now();
        loop {
            let result = TestRunner::new(config.clone()).run(&inputs, |input| {
                *tried.borrow_mut() += 1;
                let taken = self.memory_of(|| read(&input));
                if taken > max_memory {
                    let reason = format!("took {taken} bytes of memory; at most {max_memory} were expected");
                    return Err(TestCaseError::fail(reason));
                }
                Ok(())
            });
            match result {
                Ok(()) => {}
                Err(TestError::Abort(reason)) => panic!("{target}: no input could be made: {reason}"),
                Err(TestError::Fail(reason, input)) => {
                    let file = env::temp_dir().join(format!("malaria-fuzz-{target}"));
                    let kept = fs::write(&file, &input);
                    panic!(
                        "{target}: {reason}; the input of {} bytes: {} ({kept:?})",
                        input.len(),
                        file.display()
                    );
                }
            }
            if seconds.is_none_or(|seconds| started.elapsed() >= seconds) {
                break;
            }
        }
        if let Some(tally) = env::var_os(TALLY) {
            let line = format!("{target} {}\n", tried.into_inner());
            let file = fs::File::options().append(true).create(true).open(tally);
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the tally is written to");
        }
    }
}

/// Panics for anything except a number, so that a longer run is not mistaken for a short one.
fn duration(seconds: OsString) -> Duration {
    let number = seconds.to_str().and_then(|seconds| seconds.parse::<f64>().ok());
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration.unwrap_or_else(|| panic!("{SECONDS} is {seconds:?}; expected a number of seconds, such as 60"))
}

fn limit_addresses() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::As);
        let most = maximum.map_or(MAX_ADDRESS_SPACE, |maximum| maximum.min(MAX_ADDRESS_SPACE));
        // Without such a limit, only the counted memory is checked.
        let _ = setrlimit(Resource::As, Rlimit { current: Some(most), maximum });
    }
}
