package sqldb_test

const crashEnv = "SQLDB_CRASH_PATH"

func writeUntilKilled(string) {}
