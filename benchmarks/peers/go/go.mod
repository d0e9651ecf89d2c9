module kababeat/benchmarks/go

go 1.19

require (
	github.com/gin-gonic/gin v1.8.1
	github.com/gofrs/uuid v4.2.0+incompatible
	github.com/jackc/pgx/v4 v4.15.0
	go.mongodb.org/mongo-driver v1.8.4
	golang.org/x/sync v0.1.0
)
