//! Finding the cells of synthetic fields: 1600 x 1200 pixels with 100 cells, and 4000 x 3000 with 200.

use criterion::{Criterion, criterion_group, criterion_main};
use malaria_dataset::{SmearConfig, synthetic_smear};
use malaria_smear::find_cells;

fn fields(criterion: &mut Criterion) {
    let usual = SmearConfig::default();
    let large =
        SmearConfig { width: 4000, height: 3000, cell_diameter: 200.0, cells: 200, ..SmearConfig::default() };
    let mut group = criterion.benchmark_group("find_cells");
    group.sample_size(10);
    for (name, config) in [("1600x1200, 100 cells", usual), ("4000x3000, 200 cells", large)] {
        let field = synthetic_smear(&config).expect("the settings are in range").image;
        group.bench_function(name, |bencher| bencher.iter(|| find_cells(&field)));
    }
}

criterion_group!(benches, fields);
criterion_main!(benches);
