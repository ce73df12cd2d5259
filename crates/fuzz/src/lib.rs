//! Damaged files for the tests of those who read them: [`Alone::fuzz`] feeds a reader valid samples with something broken in them, and
//! random bytes, and fails where it panics or takes more memory than it may.
//!
//! A test tries some hundred inputs, the same ones each time. `cargo xtask fuzz` lets it go on with others for as long as
//! [`SECONDS`] says.

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

/// The environment variable that says how many seconds a target goes on for.
pub const SECONDS: &str = "MALARIA_FUZZ_SECONDS";
/// The environment variable that names a file, to which each target adds a line: its name, and the number of inputs tried.
pub const TALLY: &str = "MALARIA_FUZZ_TALLY";

/// Inputs of a test, and of one turn of a longer run.
const CASES: u32 = 192;
/// What the process may take in all, in bytes of addresses, should a reader take more than it is counted by: on a machine that
/// hands out more memory than it has, it would end everybody else.
const MOST_ADDRESSES: u64 = 16 << 30;

/// Counts what every test that links this crate takes from Rust's allocator.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One test of a process at a time, since all of them count their memory together.
static TURN: Mutex<()> = Mutex::new(());

/// A test that has the process for itself.
pub struct Alone {
    _turn: MutexGuard<'static, ()>,
}

/// Waits until no other test is [`Alone`]. To be called before a test takes any memory.
pub fn alone() -> Alone {
    limit_addresses();
    // What another test has failed at is no concern of this one.
    Alone { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
}

impl Alone {
    /// The most bytes that `work` takes at once from Rust's allocator.
    pub fn memory_of(&self, work: impl FnOnce()) -> usize {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        work();
        MEMORY.peak_usage().saturating_sub(before)
    }

    /// Shows `read` damaged `samples`. It may refuse them as it likes, but not panic, nor take more than `max_memory` bytes beyond
    /// what it is given.
    ///
    /// # Panics
    /// Where it does, with what went wrong and the name of a file that holds the smallest input found to bring it about. Where
    /// [`SECONDS`] is no number of seconds.
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

/// Panics where it is none: a longer run must not pass for the short one.
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
        let most = maximum.map_or(MOST_ADDRESSES, |maximum| maximum.min(MOST_ADDRESSES));
        // A system that has no such limit leaves the count alone to tell.
        let _ = setrlimit(Resource::As, Rlimit { current: Some(most), maximum });
    }
}
