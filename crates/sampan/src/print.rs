//! What commands print: `print!` and `println!` of this program.
//!
//! The standard library's panic when their reader is gone, as in `sampan ps | head -1`. Other programs are ended then by
//! SIGPIPE, without a word, and so is this one: by hand, because everywhere else a broken pipe is an error like others.

use std::{
    fmt::Arguments,
    io::{self, Write},
    process,
};

macro_rules! print {
    ($($text:tt)*) => { $crate::print::print(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::print::print(format_args!("\n")) };
    ($($text:tt)*) => { $crate::print::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints to standard output, or ends the program if that cannot be.
pub fn print(text: Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(text) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        sys::signals::die_of(rustix::process::Signal::PIPE.as_raw());
    }
    eprintln!("cannot write to standard output: {error}");
    process::exit(1)
}
