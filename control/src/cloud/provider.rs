//! Which cloud this is.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::CloudError;

/// A cloud whose metadata service the node can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon EC2.
    Aws,
    /// Google Compute Engine.
    Gcp,
    /// Microsoft Azure.
    Azure,
    /// OpenStack, by its EC2-compatible service.
    OpenStack,
    /// DigitalOcean.
    DigitalOcean,
}

impl Provider {
    /// Its name as it stands in `announce`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::OpenStack => "openstack",
            Self::DigitalOcean => "digitalocean",
        }
    }
}

/// Tells the cloud by the DMI strings below `dmi`, which is `/sys/class/dmi/id` but in tests. They are readable for
/// everyone, and no packet is sent to find out.
pub fn detect(dmi: &Path) -> Option<Provider> {
    let says = |file: &str, start: &str| {
        fs::read_to_string(dmi.join(file)).is_ok_and(|text| text.trim_start().starts_with(start))
    };
    MARKS.iter().find(|(_, file, start)| says(file, start)).map(|(provider, ..)| *provider)
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "AWS",
            Self::Gcp => "Google Cloud",
            Self::Azure => "Azure",
            Self::OpenStack => "OpenStack",
            Self::DigitalOcean => "DigitalOcean",
        })
    }
}

/// Reads a name as it stands in `announce`.
impl FromStr for Provider {
    type Err = CloudError;

    fn from_str(name: &str) -> Result<Self, CloudError> {
        match name.to_ascii_lowercase().as_str() {
            "aws" => Ok(Self::Aws),
            "gcp" => Ok(Self::Gcp),
            "azure" => Ok(Self::Azure),
            "openstack" => Ok(Self::OpenStack),
            "digitalocean" => Ok(Self::DigitalOcean),
            _ => Err(CloudError::UnknownName(name.to_owned())),
        }
    }
}

/// Azure by the asset tag that it gives to every machine: the vendor alone may be any Hyper-V.
const MARKS: [(Provider, &str, &str); 9] = [
    (Provider::Aws, "sys_vendor", "Amazon EC2"),
    (Provider::Aws, "board_vendor", "Amazon EC2"),
    (Provider::Gcp, "product_name", "Google Compute Engine"),
    (Provider::Gcp, "sys_vendor", "Google"),
    (Provider::Azure, "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    (Provider::OpenStack, "product_name", "OpenStack"),
    (Provider::OpenStack, "sys_vendor", "OpenStack"),
    (Provider::OpenStack, "chassis_asset_tag", "OpenStack"),
    (Provider::DigitalOcean, "sys_vendor", "DigitalOcean"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, files: &[(&str, &str)]) -> Option<Provider> {
        let dir = std::env::temp_dir().join(format!("causeway-dmi-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        files.iter().for_each(|(file, text)| fs::write(dir.join(file), text).unwrap());
        let found = detect(&dir);
        fs::remove_dir_all(&dir).unwrap();
        found
    }

    #[test]
    fn clouds_are_told_by_their_firmware() {
        let tag = "7783-7084-3265-9085-8269-3286-77\n";
        let hyper_v = ("sys_vendor", "Microsoft Corporation\n");
        assert_eq!(machine("aws", &[("sys_vendor", "Amazon EC2\n")]), Some(Provider::Aws));
        assert_eq!(machine("gcp", &[("sys_vendor", "Google\n")]), Some(Provider::Gcp));
        let azure = machine("azure", &[hyper_v, ("chassis_asset_tag", tag)]);
        assert_eq!(azure, Some(Provider::Azure));
        assert_eq!(machine("hyper-v", &[hyper_v, ("chassis_asset_tag", "0815\n")]), None);
        let nova = machine("nova", &[("product_name", "OpenStack Nova\n")]);
        assert_eq!(nova, Some(Provider::OpenStack));
        assert_eq!(machine("bare", &[("sys_vendor", "Dell Inc.\n")]), None);
        assert_eq!(machine("empty", &[]), None);
    }

    #[test]
    fn names_are_read_and_others_explained() {
        assert_eq!("AWS".parse(), Ok(Provider::Aws));
        let error = "awz".parse::<Provider>().unwrap_err();
        assert!(error.to_string().contains("awz"), "{error}");
    }
}
