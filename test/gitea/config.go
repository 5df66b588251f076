package gitea

// appINI configures the server, with the words between at signs replaced: as little
// as possible runs beside what tests ask for.
const appINI = `
APP_NAME = Gitea for tests
RUN_MODE = prod
RUN_USER = @USER@
WORK_PATH = @DIR@
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = @HTTP@
ROOT_URL = http://127.0.0.1:@HTTP@/
STATIC_ROOT_PATH = @ASSETS@
START_SSH_SERVER = true
SSH_DOMAIN = 127.0.0.1
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = @SSH@
SSH_PORT = @SSH@
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = @DIR@/gitea.db

[security]
INSTALL_LOCK = true
SECRET_KEY = @SECRET@
PASSWORD_HASH_ALGO = pbkdf2$1000$50
PASSWORD_COMPLEXITY = off

[service]
DISABLE_REGISTRATION = true
DEFAULT_KEEP_EMAIL_PRIVATE = true

[repository]
ROOT = @DIR@/repositories
DEFAULT_BRANCH = main
[repository.signing]
SIGNING_KEY = none

[git]
HOME_PATH = @DIR@/git
DISABLE_DIFF_HIGHLIGHT = true

[actions]
ENABLED = true

[oauth2]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[session]
PROVIDER = memory

[mailer]
ENABLED = false

[cron]
ENABLED = false

[webhook]
ALLOWED_HOST_LIST = *

[picture]
DISABLE_GRAVATAR = true

[log]
MODE = console
LEVEL = Warn
[log.console]
STDERR = true
`
