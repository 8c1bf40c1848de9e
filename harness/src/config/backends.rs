//! Which backend each kernel family uses: one word for all, or a table.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use shardmark_kernels::backend::BackendId;

/// A family of kernels: the part of a kernel's name before the slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Signatures of the committee.
    Bls,
    /// The delay function.
    Vdf,
    /// Chunks.
    Erasure,
    /// Senders of transactions.
    Secp256k1,
}

impl Family {
    /// Every family, in the order reports show them.
    pub const ALL: [Self; 4] = [Self::Bls, Self::Vdf, Self::Erasure, Self::Secp256k1];

    /// The word in configurations and kernel names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bls => "bls",
            Self::Vdf => "vdf",
            Self::Erasure => "erasure",
            Self::Secp256k1 => "secp256k1",
        }
    }
}

/// A backend for each kernel family; `cpu` unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backends {
    /// `bls/*`
    pub bls: BackendId,
    /// `vdf/*`
    pub vdf: BackendId,
    /// `erasure/*`
    pub erasure: BackendId,
    /// `secp256k1/*`
    pub secp256k1: BackendId,
}

impl Backends {
    /// The same for every family.
    pub const fn all(id: BackendId) -> Self {
        Self { bls: id, vdf: id, erasure: id, secp256k1: id }
    }

    /// The backend of one family.
    pub const fn of(&self, family: Family) -> BackendId {
        match family {
            Family::Bls => self.bls,
            Family::Vdf => self.vdf,
            Family::Erasure => self.erasure,
            Family::Secp256k1 => self.secp256k1,
        }
    }

    /// A short name for files and columns: `cpu`, or the families that differ from it, `bls-simd`.
    pub fn label(&self) -> String {
        if let Some(id) = self.uniform() {
            return id.to_string();
        }
        let differing = Family::ALL.into_iter().filter(|family| self.of(*family) != BackendId::Cpu);
        differing.map(|family| format!("{}-{}", family.name(), self.of(family))).collect::<Vec<_>>().join("+")
    }

    /// The one backend of every family, if there is one.
    pub fn uniform(&self) -> Option<BackendId> {
        (*self == Self::all(self.bls)).then_some(self.bls)
    }
}

impl Default for Backends {
    fn default() -> Self {
        Self::all(BackendId::Cpu)
    }
}

/// `cpu`, or `bls=simd vdf=cpu erasure=cpu secp256k1=cpu`.
impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.uniform() {
            return id.fmt(f);
        }
        for (i, family) in Family::ALL.into_iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}={}", family.name(), self.of(family))?;
        }
        Ok(())
    }
}

impl Serialize for Backends {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(id) = self.uniform() {
            return id.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(Family::ALL.len()))?;
        for family in Family::ALL {
            map.serialize_entry(family.name(), &self.of(family))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Backends {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct PerFamily {
            #[serde(default = "cpu")]
            bls: BackendId,
            #[serde(default = "cpu")]
            vdf: BackendId,
            #[serde(default = "cpu")]
            erasure: BackendId,
            #[serde(default = "cpu")]
            secp256k1: BackendId,
        }
        fn cpu() -> BackendId {
            BackendId::Cpu
        }

        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Backends;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a backend such as \"cpu\", or a table with bls, vdf, erasure, secp256k1")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Backends, E> {
                name.parse().map(Backends::all).map_err(E::custom)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Backends, A::Error> {
                let PerFamily { bls, vdf, erasure, secp256k1 } =
                    PerFamily::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Backends { bls, vdf, erasure, secp256k1 })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Backends, toml::de::Error> {
        #[derive(Deserialize)]
        struct File {
            backend: Backends,
        }
        toml::from_str::<File>(text).map(|file| file.backend)
    }

    #[test]
    fn one_word_and_a_table_are_both_read() {
        assert_eq!(parse("backend = \"simd\"").unwrap(), Backends::all(BackendId::Simd));
        let mixed = parse("backend = { bls = \"cuda\" }").unwrap();
        assert_eq!((mixed.bls, mixed.vdf, mixed.uniform()), (BackendId::Cuda, BackendId::Cpu, None));
        assert_eq!(mixed.to_string(), "bls=cuda vdf=cpu erasure=cpu secp256k1=cpu");
    }

    #[test]
    fn unknown_backends_and_families_are_named() {
        assert!(parse("backend = \"gpu\"").unwrap_err().message().contains("`gpu`"));
        assert!(parse("backend = { rsa = \"cpu\" }").unwrap_err().message().contains("`rsa`"));
        assert!(parse("backend = 3").unwrap_err().message().contains("such as \"cpu\""));
    }
}
