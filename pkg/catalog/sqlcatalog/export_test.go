package sqlcatalog

// Statements that tests have Postgres explain.
const (
	SelectDocument = selectDocument
	ParkDocument   = parkDocument
	SelectLine     = selectLine
	LeaveLine      = leaveLine
	AdvanceLine    = advanceLine

	SelectUploadKey  = selectUploadKey
	ForgetUploadKeys = forgetUploadKeys
)

// ListStatement is the one of a list of everything.
var ListStatement = listStatement //nolint:gochecknoglobals // a function

// RevisionsStatement looks at n documents.
var RevisionsStatement = revisionsStatement //nolint:gochecknoglobals // a function
