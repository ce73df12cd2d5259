//! Set-up from end to end in an empty workspace, with small wheels and a fake `python3`.
//!
//! Set-up runs in a child process, which is this test program started again, so that its environment can be set and it can be killed.

#![cfg(target_os = "linux")]

mod world;

use std::time::Duration;

use world::World;

const HEADER: &str = "include/torch/csrc/api/include/torch/torch.h";

#[test]
fn a_cpu_setup_unpacks_only_the_needed_files_and_passes_the_build_check() {
    let world = World::new();
    let output = world.setup(&[]);
    assert!(output.ok, "{}", output.text);
    for (path, expected) in [
        (HEADER, "// torch"),
        ("lib/libtorch_cpu.so", "cpu library"),
        ("lib/libc10.so", "c10 library"),
        ("lib/libcudart.so.13", "cudart library"),
        ("lib/libtorch.so", "INPUT(libtorch_cpu.so libc10.so)\n"),
        ("build-version", "2.13.0+cpu\n"),
    ] {
        assert_eq!(world.read(path).as_deref(), Some(expected), "{path}");
    }
    for path in ["lib/libtorch_cuda.so", "lib/libtorch_python.so", "wheels", "lib/libcheckpoint.so"] {
        assert_eq!(world.read(path), None, "{path}");
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    assert!(output.text.contains("libtorch 2.13.0") && output.text.contains("to fetch"), "{}", output.text);

    let settings =
        malaria_libtorch_locate::Settings { libtorch: Some(world.libtorch()), ..Default::default() };
    let found = malaria_libtorch_locate::locate(&settings).unwrap();
    assert!(!found.has_cuda && found.version == "2.13.0");
}

#[test]
fn a_second_setup_does_nothing_and_needs_no_python() {
    let world = World::installed();
    world.remove_python();
    world.setup(&[]).assert_outcome("AlreadyThere");
    assert_eq!(world.downloads(), 2);
}

#[test]
fn a_damaged_library_is_set_up_again() {
    let world = World::installed();
    world.write("lib/libc10.so", "cut");
    world.setup(&[]).assert_outcome("Installed");
    assert_eq!(world.read("lib/libc10.so").as_deref(), Some("c10 library"));
}

#[test]
fn changed_pins_replace_the_installed_libtorch() {
    let world = World::installed();
    world.setup(&[("FAKE_RELEASE", "2")]).assert_outcome("Installed");
    assert_eq!(world.read("lib/libtorch_cpu.so").as_deref(), Some("cpu library, release 2"));
}

#[test]
fn cuda_and_cpu_replace_each_other_only_on_request() {
    let world = World::new();
    assert!(world.setup(&[("VARIANT", "cuda")]).ok);
    assert_eq!(world.read("lib/libtorch_cuda.so").as_deref(), Some("cuda library"));
    assert_eq!(world.read("lib/libtorch.so").as_deref(), Some("the wheel's own"));
    assert_eq!(world.read("lib/libcheckpoint.so").as_deref(), Some("another"));
    assert_eq!(world.read("lib/libtorch_python.so"), None);
    assert_eq!(world.read("build-version").as_deref(), Some("2.13.0+cu130\n"));

    world.setup(&[]).assert_outcome("AlreadyThere");
    world.setup(&[("VARIANT", "cpu")]).assert_outcome("Installed");
    assert_eq!(world.read("lib/libtorch_cuda.so"), None);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn a_failed_setup_reports_the_reason_and_leaves_nothing() {
    for (variable, value, words, downloads) in [
        ("FAKE_MODE", "altered", &["DO NOT MATCH THE HASHES", "pip could not fetch torch 2.13.0"][..], 1),
        ("FAKE_MODE", "no-pip", &["No module named pip", "ensurepip"], 0),
        ("FAKE_UNPACKED", "1000000000000000", &["free disk space"], 0),
    ] {
        let world = World::new();
        world.setup(&[(variable, value)]).assert_failed(words);
        assert!(!world.libtorch().exists());
        assert_eq!(world.leftovers(), Vec::<String>::new());
        assert_eq!(world.downloads(), downloads);
    }
    let world = World::new();
    world.remove_python();
    world.setup(&[]).assert_failed(&["there is no `python3`"]);
}

#[test]
fn the_old_libtorch_stays_if_pip_fails() {
    let world = World::installed();
    world.setup(&[("VARIANT", "cuda"), ("FAKE_MODE", "fail")]).assert_failed(&[
        "ERROR: No matching distribution",
        "pip could not fetch torch 2.13.0",
        "HTTPS_PROXY",
    ]);
    assert_eq!(world.read("lib/libtorch_cpu.so").as_deref(), Some("cpu library"));
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn the_setup_after_a_killed_one_cleans_up_and_succeeds() {
    let world = World::new();
    let mut child = world.spawn(&[("FAKE_MODE", "hang")]);
    world.wait_for("hanging");
    assert_eq!(world.leftovers().len(), 1, "one temporary folder");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.libtorch().exists());

    world.setup(&[]).assert_outcome("Installed");
    assert_eq!(world.read("lib/libtorch_cpu.so").as_deref(), Some("cpu library"));
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn two_setups_at_once_fetch_once() {
    let world = World::new();
    let first = world.spawn(&[("FAKE_MODE", "slow")]);
    world.wait_for("slow");
    let second = world.spawn(&[]);
    let (first, second) = (World::output(first), World::output(second));
    first.assert_outcome("Installed");
    second.assert_outcome("AlreadyThere");
    assert!(second.text.contains("Another set-up is running"), "{}", second.text);
    assert_eq!(world.downloads(), 2);
}

#[test]
fn the_users_own_libtorch_is_checked_and_not_changed() {
    let theirs = World::installed();
    let folder = theirs.libtorch();
    let own = [("LIBTORCH", folder.to_str().unwrap())];

    let world = World::new();
    world.remove_python();
    let used = world.setup(&own);
    used.assert_outcome("Own");
    assert!(used.text.contains("LIBTORCH is set"), "{}", used.text);
    assert!(!world.libtorch().exists());

    world.setup(&[own[0], ("VARIANT", "cuda")]).assert_failed(&["it has no CUDA"]);
    theirs.write("build-version", "2.5.1+cu124\n");
    world.setup(&own).assert_failed(&["2.13.0 is needed", "2.5.1"]);
}

#[test]
fn the_workspaces_libtorch_in_the_environment_is_not_taken_for_the_users_own() {
    let world = World::new();
    let folder = world.libtorch();
    world.setup(&[("LIBTORCH", folder.to_str().unwrap())]).assert_outcome("Installed");
}

#[test]
fn the_pytorch_of_the_users_python_is_checked() {
    let theirs = World::installed();
    let folder = theirs.libtorch();
    let world = World::new();
    let python = [("LIBTORCH_USE_PYTORCH", "1"), ("FAKE_TORCH", folder.to_str().unwrap())];
    for (version, ok, says) in [
        ("2.13.0+cu130", true, "outcome Own"),
        ("2.4.0", false, "2.4.0"),
        ("", false, "No package metadata was found for torch"),
    ] {
        let output = world.setup(&[python[0], python[1], ("FAKE_TORCH_VERSION", version)]);
        assert!(output.ok == ok && output.text.contains(says), "{}", output.text);
    }
    assert!(!world.libtorch().exists());
}

/// Not a test: the child process of the tests above.
#[test]
fn child() {
    if std::env::var_os("XTASK_CHILD").is_some() {
        world::child();
    }
}

/// Time limit for a child to make progress on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
