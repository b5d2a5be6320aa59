package sqlconversation

// Statements that tests have Postgres explain.
const (
	InsertTurn          = insertTurn
	UseConversation     = useConversation
	SelectConversation  = selectConversation
	SelectConversations = selectConversations
	DeleteConversation  = deleteConversation
	FinishTurn          = finishTurn
	SelectTurn          = selectTurn
)
