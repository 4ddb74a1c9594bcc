//! Verifies functions in text form, such as dumps (`COLUBER_DUMP=ir`): `cargo run -p coluber-ir --example verify FILE...`.

use coluber_ir::parser::parse_functions;
use coluber_ir::verify::verify;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut is_good = true;
    for path in std::env::args().skip(1) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{path}: {error}");
                is_good = false;
                continue;
            }
        };
        match parse_functions(&text) {
            Err(error) => {
                println!("{path}: {error}");
                is_good = false;
            }
            Ok(parsed) => {
                for function in parsed.iter().map(|parsed| &parsed.function) {
                    if let Err(errors) = verify(function) {
                        println!("{path}: {}\n{errors}", function.name);
                        is_good = false;
                    }
                }
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
