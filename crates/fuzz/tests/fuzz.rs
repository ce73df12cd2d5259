//! Fuzzing finds readers that panic or take too much memory.

use std::{env, hint::black_box, process::Command};

use malaria_fuzz::{SECONDS, alone};

#[test]
#[should_panic(expected = "trusting: index out of bounds")]
fn a_reader_that_panics_is_found() {
    // Trusts the first byte of its input.
    alone().fuzz("trusting", &[vec![2, 1, 4, 1]], 1 << 20, |bytes| {
        if let [length, rest @ ..] = bytes {
            assert_ne!(rest[usize::from(*length)], 2);
        }
    });
}

#[test]
#[should_panic(expected = "of memory; at most 65536 were expected; the input of")]
fn a_reader_that_takes_too_much_memory_is_found() {
    // Allocates as many bytes as its input says.
    alone().fuzz("greedy", &[b"bytes: 12".to_vec()], 1 << 16, |bytes| {
        let digits = String::from_utf8_lossy(bytes).trim_start_matches("bytes: ").to_owned();
        let length = digits.parse().unwrap_or(0_usize).min(1 << 20);
        drop(black_box(vec![1_u8; length]));
    });
}

#[test]
fn a_reader_that_refuses_passes() {
    let alone = alone();
    alone.fuzz("strict", &[b"magic 12".to_vec()], 1 << 16, |bytes| {
        let _ =
            bytes.strip_prefix(b"magic ").and_then(|rest| std::str::from_utf8(rest).ok()?.parse::<u8>().ok());
    });
    assert!((1000..2000).contains(&alone.memory_of(|| drop(black_box(vec![1_u8; 1000])))));
}

#[test]
fn a_time_that_is_not_a_number_of_seconds_is_refused() {
    for time in ["soon", "", "-1", "NaN"] {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["--exact", "a_reader_that_refuses_passes"]).env(SECONDS, time);
        let output = test.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let refused = format!("{SECONDS} is {time:?}; expected a number of seconds");
        assert!(!output.status.success() && said.contains(&refused), "{said}");
    }
}
