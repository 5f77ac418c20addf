//! A store from a URL: settings from the session and the environment, credentials with a
//! limit of time, and few retries until the server has answered once.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use object_store::{
    ClientConfigKey, ClientOptions, CredentialProvider, ObjectStore, RetryConfig,
    StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey},
    http::HttpBuilder,
    local::LocalFileSystem,
};
use url::{Position, Url};

use crate::error::{FrameError, Result, find_source};

/// Retries of a server that has not answered yet: a wrong name or port is told within a
/// second or two, not after a minute. A guess.
const FIRST_RETRIES: usize = 2;
/// How long the service of a cloud's machine may take to give credentials. It is one hop
/// away and answers in milliseconds where it exists; where it does not, packets may be
/// dropped silently. A guess.
const MACHINE_LIMIT: Duration = Duration::from_secs(3);
/// How long a named login service may take to give credentials: the default limit of the
/// store's own requests.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
/// Requests have no limit of their own: a long download is no failure. Silence is noticed by
/// [`super::TrackedStore`].
const NO_LIMIT: &str = "30 days";

const S3_HINT: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_REGION), or \
     AWS_SKIP_SIGNATURE=true for a public bucket; profiles in ~/.aws are not read";
const GS_HINT: &str = "set GOOGLE_SERVICE_ACCOUNT to the path of a key file, log in with `gcloud \
     auth application-default login`, or set GOOGLE_SKIP_SIGNATURE=true for a public bucket";
const AZ_HINT: &str = "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or \
     AZURE_STORAGE_SAS_TOKEN), or AZURE_SKIP_SIGNATURE=true for a public container";

/// A store in two forms over the same credentials.
#[derive(Debug)]
pub(super) struct Opened {
    /// With few retries, for as long as the server has not answered.
    pub(super) first: Arc<dyn ObjectStore>,
    /// With the library's retries.
    pub(super) later: Arc<dyn ObjectStore>,
}

/// Which store a setting is for, by its prefix.
fn known(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    match lower.split('_').next() {
        Some("aws") => lower.parse::<AmazonS3ConfigKey>().is_ok(),
        Some("google") => lower.parse::<GoogleConfigKey>().is_ok(),
        Some("azure") => lower.parse::<AzureConfigKey>().is_ok(),
        _ => false,
    }
}

/// Checks the names of a session's settings.
///
/// # Errors
/// [`FrameError::InvalidOption`] for a name that no store knows.
pub(crate) fn check_settings(settings: &[(String, String)]) -> Result<()> {
    match settings.iter().find(|(name, _)| !known(name)) {
        None => Ok(()),
        Some((name, _)) => Err(FrameError::InvalidOption {
            option: "storage".to_string(),
            expected: "names such as AWS_ENDPOINT, GOOGLE_SERVICE_ACCOUNT or \
                       AZURE_STORAGE_ACCOUNT_NAME"
                .to_string(),
            got: format!("{name:?}"),
        }),
    }
}

/// The session's settings whose names a store knows.
fn given<'a, K: std::str::FromStr>(
    settings: &'a [(String, String)],
    prefix: &'a str,
) -> impl Iterator<Item = (K, &'a str)> {
    settings.iter().filter_map(move |(name, value)| {
        let lower = name.to_ascii_lowercase();
        let key = lower.starts_with(prefix).then(|| lower.parse().ok()).flatten()?;
        Some((key, value.as_str()))
    })
}

fn first_retry() -> RetryConfig {
    RetryConfig { max_retries: FIRST_RETRIES, ..Default::default() }
}

/// Opens the store of a URL. No request is made.
///
/// # Errors
/// [`FrameError::Scheme`]; [`FrameError::Credentials`] and [`FrameError::Unreadable`] for
/// settings that are missing or wrong.
pub(super) fn open(url: &Url, settings: &[(String, String)]) -> Result<Opened> {
    let root = url[Position::BeforeScheme..Position::BeforePath].to_string();
    let scheme = url.scheme();
    let opened = match scheme {
        "file" => {
            let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
            Ok(Opened { first: Arc::clone(&store), later: store })
        }
        "s3" | "s3a" => s3(&root, settings),
        "gs" | "gcs" => gs(&format!("gs{}", &root[scheme.len()..]), settings),
        "az" | "adl" | "azure" | "abfs" | "abfss" => az(&root, settings),
        "http" | "https" => http(&root, scheme == "http"),
        scheme => {
            return Err(FrameError::Scheme { scheme: scheme.to_string(), url: url.to_string() });
        }
    };
    opened.map_err(|e| match find_source::<FrameError>(&e) {
        Some(own) => own.clone(),
        None => {
            let text = e.to_string();
            let reason = text.split_once(" error: ").map_or(text.as_str(), |(_, rest)| rest);
            FrameError::Unreadable { path: root, reason: reason.to_string() }
        }
    })
}

fn http(root: &str, plain: bool) -> object_store::Result<Opened> {
    let options = ClientOptions::new().with_timeout_disabled().with_allow_http(plain);
    let make = |retry| {
        HttpBuilder::new()
            .with_url(root)
            .with_client_options(options.clone())
            .with_retry(retry)
            .build()
    };
    Ok(Opened {
        first: Arc::new(make(first_retry())?),
        later: Arc::new(make(RetryConfig::default())?),
    })
}

fn s3(root: &str, settings: &[(String, String)]) -> object_store::Result<Opened> {
    use AmazonS3ConfigKey as K;
    let mut builder = AmazonS3Builder::from_env().with_url(root);
    for (key, value) in given::<K>(settings, "aws_") {
        builder = builder.with_config(key, value);
    }
    let named = [
        K::AccessKeyId,
        K::WebIdentityTokenFile,
        K::ContainerCredentialsRelativeUri,
        K::ContainerCredentialsFullUri,
    ];
    let named = named.iter().any(|key| builder.get_config_value(key).is_some());
    let builder = builder.with_config(K::Client(ClientConfigKey::Timeout), NO_LIMIT);
    let plain = builder.clone().with_retry(first_retry()).build()?;
    let inner = Arc::clone(plain.credentials());
    let builder = builder.with_credentials(Arc::new(Limited::new(inner, root, S3_HINT, named)));
    Ok(Opened {
        first: Arc::new(builder.clone().with_retry(first_retry()).build()?),
        later: Arc::new(builder.build()?),
    })
}

fn gs(root: &str, settings: &[(String, String)]) -> object_store::Result<Opened> {
    use GoogleConfigKey as K;
    let mut builder = GoogleCloudStorageBuilder::from_env().with_url(root);
    for (key, value) in given::<K>(settings, "google_") {
        builder = builder.with_config(key, value);
    }
    let named = [K::ServiceAccount, K::ServiceAccountKey, K::ApplicationCredentials];
    let login = ".config/gcloud/application_default_credentials.json";
    let named = named.iter().any(|key| builder.get_config_value(key).is_some())
        || std::env::home_dir().is_some_and(|home| home.join(login).exists());
    let builder = builder.with_config(K::Client(ClientConfigKey::Timeout), NO_LIMIT);
    // The library asks for credentials before it writes, also where nothing is signed.
    let unsigned = builder.get_config_value(&K::SkipSignature).is_some_and(|v| v == "true");
    let builder = if unsigned {
        let nobody = GcpCredential { bearer: String::new() };
        builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)))
    } else {
        let plain = builder.clone().with_retry(first_retry()).build()?;
        let inner = Arc::clone(plain.credentials());
        builder.with_credentials(Arc::new(Limited::new(inner, root, GS_HINT, named)))
    };
    Ok(Opened {
        first: Arc::new(builder.clone().with_retry(first_retry()).build()?),
        later: Arc::new(builder.build()?),
    })
}

fn az(root: &str, settings: &[(String, String)]) -> object_store::Result<Opened> {
    use AzureConfigKey as K;
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(root);
    for (key, value) in given::<K>(settings, "azure_") {
        builder = builder.with_config(key, value);
    }
    let in_url = root.contains('@');
    if builder.get_config_value(&K::AccountName).is_none() && !in_url {
        return Err(missing(root, AZ_HINT));
    }
    let named = [K::AccessKey, K::SasKey, K::Token, K::ClientSecret, K::FederatedTokenFile];
    let named = named.iter().any(|key| builder.get_config_value(key).is_some());
    let builder = builder.with_config(K::Client(ClientConfigKey::Timeout), NO_LIMIT);
    let plain = builder.clone().with_retry(first_retry()).build()?;
    let inner = Arc::clone(plain.credentials());
    let builder = builder.with_credentials(Arc::new(Limited::new(inner, root, AZ_HINT, named)));
    Ok(Opened {
        first: Arc::new(builder.clone().with_retry(first_retry()).build()?),
        later: Arc::new(builder.build()?),
    })
}

fn missing(url: &str, hint: &str) -> object_store::Error {
    let error = FrameError::Credentials { url: url.to_string(), hint: hint.to_string() };
    object_store::Error::Generic { store: "credentials", source: Box::new(error) }
}

/// Credentials that are given within a time, or missed in words that say what to set.
#[derive(Debug)]
struct Limited<C> {
    inner: Arc<dyn CredentialProvider<Credential = C>>,
    url: String,
    hint: &'static str,
    limit: Duration,
}

impl<C> Limited<C> {
    /// `named`: the settings name a key or a service, so the machine's own is not meant.
    fn new(
        inner: Arc<dyn CredentialProvider<Credential = C>>,
        url: &str,
        hint: &'static str,
        named: bool,
    ) -> Self {
        let limit = if named { LOGIN_LIMIT } else { MACHINE_LIMIT };
        Self { inner, url: url.to_string(), hint, limit }
    }
}

#[async_trait]
impl<C: Debug + Send + Sync + 'static> CredentialProvider for Limited<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        match tokio::time::timeout(self.limit, self.inner.get_credential()).await {
            Ok(Ok(credential)) => Ok(credential),
            Ok(Err(e)) => {
                tracing::debug!(url = %self.url, error = %e, "no credentials");
                Err(missing(&self.url, self.hint))
            }
            Err(_) => Err(missing(&self.url, self.hint)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str, settings: &[(&str, &str)]) -> Result<Opened> {
        let settings: Vec<(String, String)> =
            settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        check_settings(&settings)?;
        open(&Url::parse(url).unwrap(), &settings)
    }

    #[test]
    fn urls_name_bucket_container_and_account() {
        let name = |url: &str, settings: &[(&str, &str)]| {
            let opened = opened(url, settings).unwrap_or_else(|e| panic!("{url}: {e}"));
            opened.later.to_string()
        };
        assert_eq!(name("s3://b/a/x.csv", &[]), "AmazonS3(b)");
        assert_eq!(name("s3a://b/", &[]), "AmazonS3(b)");
        assert_eq!(name("gs://b/x", &[]), "GoogleCloudStorage(b)");
        assert_eq!(name("gcs://b/x", &[]), "GoogleCloudStorage(b)");
        let account = [("AZURE_STORAGE_ACCOUNT_NAME", "acc")];
        for url in ["az://c/x", "azure://c/x", "abfs://c/x", "adl://c/x"] {
            let text = name(url, &account);
            assert!(text.contains("acc") && text.contains("container: c"), "{url}: {text}");
        }
        let text = name("abfss://c@acc.dfs.core.windows.net/x", &[]);
        assert!(text.contains("acc") && text.contains("container: c"), "{text}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        // The account may stand in the environment of whoever runs the tests.
        if std::env::var_os("AZURE_STORAGE_ACCOUNT_NAME").is_none() {
            let e = opened("az://c/x", &[]).unwrap_err().to_string();
            assert!(e.contains("az://c") && e.contains("AZURE_STORAGE_ACCOUNT_NAME"), "{e}");
        }
        let half = [("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_ACCESS_KEY_ID", "")];
        assert!(opened("s3://b/x", &half).is_ok(), "an empty key is the server's to refuse");
        let e = opened("s3://b/x", &[("AWS_ENDPIONT", "x")]).unwrap_err().to_string();
        assert!(e.contains("AWS_ENDPIONT") && e.contains("AWS_ENDPOINT"), "{e}");
        let e = opened("ftp://h/x", &[]).unwrap_err().to_string();
        assert!(e.contains("\"ftp\""), "{e}");
    }
}
