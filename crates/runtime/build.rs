//! Selects the tables of the CPython version that is built for.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo:rustc-check-cfg=cfg(Py_DEBUG)");
    let config = pyo3_build_config::get();
    if config.build_flags().0.iter().any(|flag| flag.to_string() == "Py_DEBUG") {
        println!("cargo:rustc-cfg=Py_DEBUG");
    }
}
