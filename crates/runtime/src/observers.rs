//! Making the locals of running compiled code visible.

use coluber_cpython::raw::{Attached, ThreadState};

/// Releases objects that were made for observers of frames that have ended.
pub fn release_finished(_py: Attached, _tstate: ThreadState) {}
/// Interposes.
pub fn start(_py: Attached) {}
