//! Finds cells (development).
use rayon::prelude::*;
use std::io::Write;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let out = &args[1];
    let debug = std::env::var("DEBUG_DIR").ok().map(std::path::PathBuf::from);
    let started = std::time::Instant::now();
    let rows: Vec<String> = args[2..].par_iter().map(|path| {
        let image = image::open(path).unwrap().into_rgb8();
        let t = std::time::Instant::now();
        let (cells, d) = malaria_smear::find(&image, debug.as_deref());
        if debug.is_some() { eprintln!("{path} {} cells, d {d:.1}, {:?}", cells.len(), t.elapsed()); }
        let name = std::path::Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
        cells.iter().map(|c| format!("{name},{:.1},{:.1},{:.1},{:.1},{:.3},{:.3},{:.3},\n", c.x, c.y, c.w, c.h, c.support, c.area, c.solidity)).collect::<String>()
    }).collect();
    let mut f = std::fs::File::create(out).unwrap();
    writeln!(f, "image,x,y,w,h,support,area,solidity,excluded").unwrap();
    for r in rows { f.write_all(r.as_bytes()).unwrap(); }
    eprintln!("{:?}", started.elapsed());
}
