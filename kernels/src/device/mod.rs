//! Devices beside the CPU: opened once and shared by all kernels that run on them.
//!
//! | module | what |
//! |---|---|
//! | `wgpu` | any GPU by Vulkan, Metal or DirectX 12: programs, buffers, faults |
//! | `wgsl` | arithmetic of long integers as text for `wgpu` |

#[cfg(feature = "wgpu")]
pub(crate) mod wgpu;
#[cfg(feature = "wgpu")]
pub(crate) mod wgsl;
