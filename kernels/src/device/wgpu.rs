//! A GPU by Vulkan, Metal or DirectX 12, as the kernels of this crate see one: programs, buffers of 32-bit words, and
//! every fault as a typed error.
//!
//! Nothing is asked of a device but core WGSL and the limits that WebGPU guarantees, 128 MiB in one binding among them;
//! 64-bit integers are used where it has them. An implementation on the CPU (Mesa's lavapipe, SwiftShader) is as good for
//! tests and is never called a GPU: [`Gpu::software`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ::wgpu::{
    Backends, BindGroupDescriptor, BindGroupEntry, BufferDescriptor, BufferUsages, CommandEncoderDescriptor,
    ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor, Device, DeviceDescriptor, DeviceType, Features,
    Instance, InstanceDescriptor, MapMode, PollType, Queue, ShaderModuleDescriptor, ShaderSource,
};

use crate::backend::{BackendId, Description, Error, Options, Unavailable};

/// Invocations in a workgroup of every program here.
pub(crate) const GROUP: usize = 64;

/// Words in one binding at most: the 128 MiB that every device has.
pub(crate) const BINDING_WORDS: usize = 1 << 25;

/// Most workgroups of one dispatch.
const MOST_GROUPS: usize = 65_535;

/// Invocations of one dispatch at most.
pub(crate) const MOST_INVOCATIONS: usize = MOST_GROUPS * GROUP;

/// An open device.
pub(crate) struct Gpu {
    device: Device,
    queue: Queue,
    name: String,
    driver: String,
    software: bool,
    wide: bool,
    programs: Mutex<HashMap<String, Arc<ComputePipeline>>>,
    /// The first fault that the driver told of, outside of any call.
    fault: Arc<Mutex<Option<String>>>,
}

/// Words on the device.
pub(crate) struct Buffer {
    inner: ::wgpu::Buffer,
    words: usize,
}

/// Devices that some backend holds, by the number that was asked for.
static OPEN: Mutex<Vec<(Option<u32>, Weak<Gpu>)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics between two halves of a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// The device of this number, in the order that the system lists them; without one a discrete GPU before an integrated
    /// one before a CPU that acts as one. Opened once: whoever asks while another holds it shares it.
    ///
    /// # Errors
    ///
    /// [`Unavailable::NoDriver`] where nothing answers, [`Unavailable::NoDevice`] where the number is none or the device
    /// does not open, [`Unavailable::Options`] for an instruction set.
    pub fn open(options: &Options) -> Result<Arc<Self>, Unavailable> {
        if let Some(isa) = options.isa {
            return Err(Unavailable::Options(format!("the wgpu backend has no {isa} code")));
        }
        let mut open = lock(&OPEN);
        open.retain(|(_, gpu)| gpu.strong_count() > 0);
        let shared = open.iter().find(|(device, _)| *device == options.device).and_then(|(_, gpu)| gpu.upgrade());
        if let Some(gpu) = shared {
            return Ok(gpu);
        }
        let gpu = Arc::new(Self::start(options.device, true)?);
        open.push((options.device, Arc::downgrade(&gpu)));
        Ok(gpu)
    }

    /// `wide`: with 64-bit integers, if it has them.
    fn start(index: Option<u32>, wide: bool) -> Result<Self, Unavailable> {
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::PRIMARY,
            ..InstanceDescriptor::new_without_display_handle()
        });
        let mut adapters = pollster::block_on(instance.enumerate_adapters(Backends::PRIMARY));
        if adapters.is_empty() {
            return Err(Unavailable::NoDriver);
        }
        let adapter = match index {
            Some(index) if (index as usize) < adapters.len() => adapters.swap_remove(index as usize),
            Some(_) => return Err(Unavailable::NoDevice),
            None => {
                adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
                    DeviceType::DiscreteGpu => 0,
                    DeviceType::IntegratedGpu => 1,
                    DeviceType::VirtualGpu => 2,
                    DeviceType::Other => 3,
                    DeviceType::Cpu => 4,
                });
                adapters.swap_remove(0)
            }
        };
        let info = adapter.get_info();
        let wide = wide && adapter.features().contains(Features::SHADER_INT64);
        let descriptor = DeviceDescriptor {
            required_features: if wide { Features::SHADER_INT64 } else { Features::empty() },
            ..DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|_| Unavailable::NoDevice)?;
        let fault = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: ::wgpu::Error| {
            lock(&noted).get_or_insert(error.to_string());
        }));
        let noted = Arc::clone(&fault);
        device.set_device_lost_callback(move |reason, message| {
            lock(&noted).get_or_insert(format!("lost ({reason:?}): {message}"));
        });
        Ok(Self {
            device,
            queue,
            driver: format!("{:?}, {} {}", info.backend, info.driver, info.driver_info),
            name: info.name,
            software: info.device_type == DeviceType::Cpu,
            wide,
            programs: Mutex::default(),
            fault,
        })
    }

    /// What runs, with the host's threads beside it.
    pub fn describe(&self, build: &str, threads: usize) -> Description {
        let words = if self.wide { "64-bit integers" } else { "32-bit integers" };
        let kind = if self.software { "CPU Vulkan" } else { "gpu" };
        Description {
            backend: BackendId::Wgpu,
            path: kind.to_owned(),
            device: format!("{} ({})", self.name, self.driver),
            build: format!("{build}; WGSL, {words}"),
            threads,
            software_adapter: self.software,
        }
    }

    /// Whether it is a CPU: never to be called a GPU.
    pub fn software(&self) -> bool {
        self.software
    }

    /// Whether it computes with 64-bit integers.
    pub fn wide(&self) -> bool {
        self.wide
    }

    /// Compiles a program with the entry point `main`, or finds it compiled: `source` is asked for once per `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] with what the compiler says.
    pub fn program(&self, name: &str, source: impl FnOnce() -> String) -> Result<Arc<ComputePipeline>, Error> {
        let mut programs = lock(&self.programs);
        if let Some(program) = programs.get(name) {
            return Ok(Arc::clone(program));
        }
        let module = self.device.create_shader_module(ShaderModuleDescriptor {
            label: Some(name),
            source: ShaderSource::Wgsl(source().into()),
        });
        let pipeline = self.device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: ::wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        self.fault()?;
        let pipeline = Arc::new(pipeline);
        programs.insert(name.to_owned(), Arc::clone(&pipeline));
        Ok(pipeline)
    }

    /// A buffer of zeros; never empty, as no binding may be.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] past [`BINDING_WORDS`], or without memory for it.
    pub fn zeros(&self, words: usize) -> Result<Buffer, Error> {
        if words > BINDING_WORDS {
            return Err(Error::Device(format!("a buffer of {words} words: a binding holds {BINDING_WORDS}")));
        }
        let inner = self.device.create_buffer(&BufferDescriptor {
            label: None,
            size: 4 * words.max(1) as u64,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.fault()?;
        Ok(Buffer { inner, words })
    }

    /// A buffer of these words.
    ///
    /// # Errors
    ///
    /// As [`Gpu::zeros`].
    pub fn upload(&self, words: &[u32]) -> Result<Buffer, Error> {
        let buffer = self.zeros(words.len())?;
        self.queue.write_buffer(&buffer.inner, 0, bytemuck::cast_slice(words));
        self.fault()?;
        Ok(buffer)
    }

    /// Runs a program over `invocations`, rounded up to whole workgroups, with the buffers as its bindings from 0 on. Returns
    /// once it is handed over: what comes after sees what it wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for more workgroups than a device takes, and any fault until now.
    pub fn run(&self, program: &ComputePipeline, buffers: &[&Buffer], invocations: usize) -> Result<(), Error> {
        let groups = invocations.div_ceil(GROUP);
        if groups > MOST_GROUPS {
            return Err(Error::Device(format!("{groups} workgroups: {MOST_GROUPS} are possible")));
        }
        let entries: Vec<BindGroupEntry> = buffers
            .iter()
            .enumerate()
            .map(|(i, buffer)| BindGroupEntry { binding: i as u32, resource: buffer.inner.as_entire_binding() })
            .collect();
        let bindings = self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &program.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            pass.set_pipeline(program);
            pass.set_bind_group(0, &bindings, &[]);
            pass.dispatch_workgroups(groups as u32, 1, 1);
        }
        self.queue.submit([encoder.finish()]);
        self.fault()
    }

    /// Waits until the device is idle.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for any fault until then.
    pub fn wait(&self) -> Result<(), Error> {
        self.device.poll(PollType::wait_indefinitely()).map_err(|e| Error::Device(e.to_string()))?;
        self.fault()
    }

    /// The words of a buffer, once everything before is done.
    ///
    /// # Errors
    ///
    /// As [`Gpu::wait`].
    pub fn download(&self, buffer: &Buffer) -> Result<Vec<u32>, Error> {
        if buffer.words == 0 {
            return Ok(Vec::new());
        }
        let staging = self.device.create_buffer(&BufferDescriptor {
            label: None,
            size: buffer.inner.size(),
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&buffer.inner, 0, &staging, 0, buffer.inner.size());
        self.queue.submit([encoder.finish()]);
        // A fault of the mapping is told again by the range.
        staging.map_async(MapMode::Read, .., |_| ());
        self.wait()?;
        let range = staging.get_mapped_range(..).map_err(|e| Error::Device(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&range))
    }

    /// Any fault that the driver told of. It stays: a device that failed is not trusted again.
    fn fault(&self) -> Result<(), Error> {
        match &*lock(&self.fault) {
            Some(fault) => Err(Error::Device(fault.clone())),
            None => Ok(()),
        }
    }
}

/// A device without 64-bit integers and, if it has them, the same one with them; none with a word about it.
#[cfg(test)]
pub(crate) fn narrow_and_wide() -> Vec<Arc<Gpu>> {
    let Some(gpu) = any() else { return Vec::new() };
    let narrow = Gpu::start(None, false).map(Arc::new).into_iter();
    narrow.chain(gpu.wide.then_some(gpu)).collect()
}

/// A device of this machine, or `None` with a word about it: lavapipe is enough.
#[cfg(test)]
pub(crate) fn any() -> Option<Arc<Gpu>> {
    match Gpu::open(&Options::default()) {
        Ok(gpu) => Some(gpu),
        Err(reason) => {
            let required = std::env::var("SHARDMARK_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "wgpu"), "wgpu is required: {reason}");
            println!("SKIPPED wgpu: {reason}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBLE: &str = "
        @group(0) @binding(0) var<storage, read> x: array<u32>;
        @group(0) @binding(1) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&x) { y[id.x] = 2u * x[id.x]; }
        }";

    #[test]
    fn programs_read_and_write_buffers_and_are_compiled_once() {
        let Some(gpu) = any() else { return };
        let program = gpu.program("double", || DOUBLE.to_owned()).unwrap();
        let words: Vec<u32> = (0..1000).collect();
        let (x, y) = (gpu.upload(&words).unwrap(), gpu.zeros(words.len()).unwrap());
        gpu.run(&program, &[&x, &y], words.len()).unwrap();
        gpu.run(&program, &[&y, &x], words.len()).unwrap();
        assert_eq!(gpu.download(&x).unwrap(), words.iter().map(|word| 4 * word).collect::<Vec<_>>());
        let again = gpu.program("double", || unreachable!("compiled before")).unwrap();
        assert!(Arc::ptr_eq(&program, &again));
        assert!(Arc::ptr_eq(&gpu, &any().unwrap()), "one device for all");
        assert!(gpu.download(&gpu.upload(&[]).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn faults_are_typed_and_stay() {
        if any().is_none() {
            return;
        }
        // A device of its own: the fault is no other test's.
        let gpu = Gpu::start(None, true).unwrap();
        assert!(matches!(gpu.zeros(BINDING_WORDS + 1), Err(Error::Device(_))));
        assert!(gpu.wait().is_ok());
        let program = gpu.program("double", || DOUBLE.to_owned()).unwrap();
        let words = gpu.zeros(64).unwrap();
        assert!(gpu.run(&program, &[&words, &words], (MOST_GROUPS + 1) * GROUP).is_err());
        let wrong = gpu.program("wrong", || DOUBLE.replace("2u", "2.0"));
        assert!(matches!(wrong, Err(Error::Device(why)) if why.contains("wrong")));
        assert!(matches!(gpu.wait(), Err(Error::Device(_))));
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let open = |options| Gpu::open(&options).map(|_| ());
        let isa = open(Options { isa: Some(crate::backend::Isa::Avx2), ..Options::default() });
        assert!(matches!(isa, Err(Unavailable::Options(_))));
        let device = open(Options { device: Some(1000), ..Options::default() });
        assert!(matches!(device, Err(Unavailable::NoDevice | Unavailable::NoDriver)));
    }
}
