//! A compiled kernel, loaded.

use std::{ffi::c_void, path::Path};

use libloading::Library;

use super::abi::{LAYOUT, Thread};

type Enter = unsafe extern "C" fn(*const *mut c_void);
type Slot = unsafe extern "C" fn() -> *mut *mut Thread;

/// A kernel's shared library. It stays loaded: fibers, thread-local variables and error
/// texts point into it.
pub(super) struct Module {
    enter: Enter,
    slot: Slot,
}

impl Module {
    /// Loads a library that `compile` has built.
    ///
    /// # Errors
    /// Text: it does not load, or was built for another layout.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: the library was built from our headers, whose only initialisers are
        // constants.
        let library = unsafe { Library::new(path) }.map_err(|e| e.to_string())?;
        // SAFETY: the types are those that `W_EMULATED_ENTRY` declares.
        let (enter, slot, layout) = unsafe {
            let text = |e: libloading::Error| e.to_string();
            (
                *library.get::<Enter>(b"w_enter\0").map_err(text)?,
                *library.get::<Slot>(b"w_slot\0").map_err(text)?,
                **library.get::<*const [u32; LAYOUT.len()]>(b"w_layout\0").map_err(text)?,
            )
        };
        if layout != LAYOUT {
            return Err(format!("its layout is {layout:?}, not {LAYOUT:?}"));
        }
        std::mem::forget(library);
        Ok(Self { enter, slot })
    }

    /// The entry point, taking one pointer per parameter.
    pub(super) fn enter(&self) -> Enter {
        self.enter
    }

    /// The variable in which the calling OS thread names its running fiber.
    pub(super) fn slot(&self) -> *mut *mut Thread {
        // SAFETY: returns the address of a thread-local variable.
        unsafe { (self.slot)() }
    }
}
