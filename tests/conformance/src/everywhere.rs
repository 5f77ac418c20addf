//! The macro that makes a test of a body for each backend.

/// Makes a test of each body, a `fn(Target)`, for each backend:
///
/// * `everywhere!(sums, counts)`: for the interpreter, the emulator in its three orders, the
///   WGSL adapter with all its features, with none, and in the opposite order, and a real GPU;
/// * `everywhere!(all: sums)`: also for the emulator that checks every access, but not for the
///   WGSL adapter in the opposite order;
/// * `everywhere!(emulated_checked: sums)`, `everywhere!(cpu, wgpu, real: sums)`: for these;
/// * `everywhere!(mod large: emulated, wgpu: many)`: for these, in a module of this name.
///
/// The tests are `BACKEND::BODY`. What each launches is recorded, see [`crate::launches`].
#[macro_export]
macro_rules! everywhere {
    (@each [$($backend:ident)+] $bodies:tt) => {
        $($crate::everywhere!(@on $backend $bodies);)+
    };
    (@on cpu $bodies:tt) => { $crate::everywhere!(@tests cpu Cpu $bodies); };
    (@on emulated $bodies:tt) => { $crate::everywhere!(@tests emulated Emulated $bodies); };
    (@on emulated_seeded $bodies:tt) => {
        $crate::everywhere!(@tests emulated_seeded EmulatedSeeded $bodies);
    };
    (@on emulated_reversed $bodies:tt) => {
        $crate::everywhere!(@tests emulated_reversed EmulatedReversed $bodies);
    };
    (@on emulated_checked $bodies:tt) => {
        $crate::everywhere!(@tests emulated_checked EmulatedChecked $bodies);
    };
    (@on emulated_checked_long $bodies:tt) => {
        $crate::everywhere!(@ignored "takes minutes with sanitizers: --run-ignored all",
            emulated_checked_long EmulatedChecked $bodies);
    };
    (@on wgpu $bodies:tt) => { $crate::everywhere!(@tests wgpu Wgpu $bodies); };
    (@on wgpu_narrow $bodies:tt) => {
        $crate::everywhere!(@tests wgpu_narrow WgpuNarrow $bodies);
    };
    (@on wgpu_reversed $bodies:tt) => {
        $crate::everywhere!(@tests wgpu_reversed WgpuReversed $bodies);
    };
    (@on real $bodies:tt) => {
        $crate::everywhere!(@ignored "needs a real GPU: make test-gpu", real Real $bodies);
    };
    (@tests $module:ident $target:ident [$($body:ident)+]) => {
        mod $module {
            $(#[test]
            fn $body() {
                let target = $crate::Target::$target;
                $crate::launches::run(module_path!(), stringify!($body), target, super::$body);
            })+
        }
    };
    (@ignored $reason:literal, $module:ident $target:ident [$($body:ident)+]) => {
        mod $module {
            $(#[test]
            #[ignore = $reason]
            fn $body() {
                let target = $crate::Target::$target;
                $crate::launches::run(module_path!(), stringify!($body), target, super::$body);
            })+
        }
    };
    (all: $($body:ident),+ $(,)?) => {
        $crate::everywhere!(@each
            [cpu emulated emulated_seeded emulated_reversed emulated_checked wgpu wgpu_narrow real]
            [$($body)+]);
    };
    (mod $name:ident: $($backend:ident),+ : $($body:ident),+ $(,)?) => {
        mod $name {
            use super::*;
            $crate::everywhere!(@each [$($backend)+] [$($body)+]);
        }
    };
    ($($backend:ident),+ : $($body:ident),+ $(,)?) => {
        $crate::everywhere!(@each [$($backend)+] [$($body)+]);
    };
    ($($body:ident),+ $(,)?) => {
        $crate::everywhere!(@each
            [cpu emulated emulated_seeded emulated_reversed wgpu wgpu_narrow wgpu_reversed real]
            [$($body)+]);
    };
}
