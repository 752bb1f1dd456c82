//! Arguments, configuration, `run`, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    hengwei_collector::cli::main()
}
