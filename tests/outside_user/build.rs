fn main() {
    // Writes the place of libtorch into the program, so that it runs from any folder.
    if let Ok(lib) = std::env::var("DEP_MALARIA_RESNET_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
