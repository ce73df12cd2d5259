//! The checks of `cargo xtask gpu-check`, run on the CPU.

use malaria_resnet::libtorch::DeviceChoice;

#[path = "../../../benches/gpu_check/checks.rs"]
mod checks;

#[test]
fn every_gpu_check_passes_on_the_cpu() {
    // Several tests with more threads than cores take ten times as long.
    tch::set_num_threads(1);
    let mut said = Vec::new();
    let report = checks::run(DeviceChoice::Cpu, &mut |line| said.push(line.to_owned())).unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let said = said.join("\n");
    for words in
        ["says nothing about a GPU", "the same bits", "step with its data, float32", "an epoch of `tutorial`"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let report = serde_json::to_value(&report).unwrap();
    assert_eq!(report["resuming"][0]["same_bits"], true);
    // The CPU is compared with itself.
    assert_eq!(report["agreement"][0]["largest_difference"], 0.0);
    assert!(report["speed"][0]["cells_per_second"].as_f64().unwrap() > 0.0);
}
