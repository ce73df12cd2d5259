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
        let smear = match &debug { Some(d) => malaria_smear::find_cells_and_write_steps(&image, d), None => malaria_smear::find_cells(&image) };
        let smear = match smear { Ok(s) => s, Err(e) => { eprintln!("{path}: {e}"); return String::new(); } };
        if debug.is_some() || std::env::var("SAY").is_ok() { eprintln!("{path} {} cells, d {:.1}, {:?} {:?} {:?}", smear.red_cells().count(), smear.cell_diameter, t.elapsed(), smear.quality, smear.caveats); }
        let name = std::path::Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
        smear.objects.iter().map(|c| { let b = c.bounds; format!("{name},{},{},{},{},{:.3},{}\n", b.x, b.y, b.width, b.height, c.area / smear.cell_diameter.powi(2), if c.kind == malaria_smear::Kind::RedCell { String::new() } else { c.kind.to_string() }) }).collect::<String>()
    }).collect();
    let mut f = std::fs::File::create(out).unwrap();
    writeln!(f, "image,x,y,w,h,area,excluded").unwrap();
    for r in rows { f.write_all(r.as_bytes()).unwrap(); }
    eprintln!("{:?}", started.elapsed());
}
