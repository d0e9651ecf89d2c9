// The Go peer: merged reads of beats over pgx and mongo-driver, behind gin.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gofrs/uuid"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"golang.org/x/sync/errgroup"
)

const core = `SELECT b.id, b.version, b.status, b.title, b.description, b.price::float8, b.currency, b.price_basic::float8,
  b.price_premium::float8, b.price_exclusive::float8, b.is_featured, date_trunc('milliseconds', b.created_at),
  date_trunc('milliseconds', b.updated_at), u.id, u.username, u.display_name, u.avatar_url, u.is_verified
FROM beats b JOIN users u ON u.id = b.creator_id WHERE b.status = 'published' AND `

type Content struct {
	Metadata      bson.M   `json:"metadata,omitempty"`
	Audio         bson.M   `json:"audio,omitempty"`
	Artwork       bson.M   `json:"artwork,omitempty"`
	Collaborators []bson.M `json:"collaborators,omitempty"`
}
type Stats struct {
	Plays     int64 `json:"plays"`
	Likes     int64 `json:"likes"`
	Downloads int64 `json:"downloads"`
	Shares    int64 `json:"shares"`
}
type beat struct {
	ID          uuid.UUID `json:"id"`
	Version     int64     `json:"version"`
	Status      string    `json:"status"`
	Title       string    `json:"title"`
	Description *string   `json:"description,omitempty"`
	Creator     struct {
		ID          uuid.UUID `json:"id"`
		Username    string    `json:"username"`
		DisplayName *string   `json:"displayName,omitempty"`
		AvatarURL   *string   `json:"avatarUrl,omitempty"`
		IsVerified  bool      `json:"isVerified"`
	} `json:"creator"`
	Price        *float64 `json:"price,omitempty"`
	Currency     string   `json:"currency"`
	LicenseTypes struct {
		Basic     *float64 `json:"basic,omitempty"`
		Premium   *float64 `json:"premium,omitempty"`
		Exclusive *float64 `json:"exclusive,omitempty"`
	} `json:"licenseTypes"`
	IsFeatured bool `json:"isFeatured"`
	Content
	Stats     Stats     `json:"stats"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}
type document struct {
	ID      primitive.Binary `bson:"_id"`
	Content `bson:",inline"`
	Stats   `bson:",inline"`
}

func key(id uuid.UUID) primitive.Binary { return primitive.Binary{Subtype: 4, Data: id.Bytes()} }
func (d document) id() uuid.UUID        { return uuid.FromBytesOrNil(d.ID.Data) }

var full = bson.M{"metadata": 1, "audio.previewUrl": 1, "audio.format": 1, "artwork": 1, "collaborators": 1}
var listed = bson.M{"metadata.waveform": 0, "collaborators": 0, "audio.stems": 0, "audio.originalId": 0, "audio.quality": 0, "audio.fileSize": 0}
var totals = bson.M{"plays": 1, "likes": 1, "downloads": 1, "shares": 1}
var postgres *pgxpool.Pool
var beats, analytics, index *mongo.Collection

func (b *beat) scan(row pgx.Row) error {
	return row.Scan(&b.ID, &b.Version, &b.Status, &b.Title, &b.Description, &b.Price, &b.Currency, &b.LicenseTypes.Basic,
		&b.LicenseTypes.Premium, &b.LicenseTypes.Exclusive, &b.IsFeatured, &b.CreatedAt, &b.UpdatedAt, &b.Creator.ID,
		&b.Creator.Username, &b.Creator.DisplayName, &b.Creator.AvatarURL, &b.Creator.IsVerified)
}

func detail(c *gin.Context) {
	row, content, counts := beat{}, document{}, document{}
	id := uuid.FromStringOrNil(c.Param("id"))
	group, ctx := errgroup.WithContext(c.Request.Context())
	group.Go(func() error { return row.scan(postgres.QueryRow(ctx, core+"b.id = $1", id)) })
	group.Go(func() error { return one(ctx, beats, id, full, &content) })
	group.Go(func() error { return one(ctx, analytics, id, totals, &counts) })
	err := group.Wait()
	for _, credit := range content.Collaborators {
		if user, ok := credit["userId"].(primitive.Binary); ok {
			credit["userId"] = uuid.FromBytesOrNil(user.Data)
		}
	}
	row.Content, row.Stats = content.Content, counts.Stats
	answer(c, &row, err)
}
func one(ctx context.Context, from *mongo.Collection, id uuid.UUID, fields bson.M, into *document) error {
	err := from.FindOne(ctx, bson.M{"_id": key(id)}, options.FindOne().SetProjection(fields)).Decode(into)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil // unknown, and no error
	}
	return err
}

func all(ctx context.Context, from *mongo.Collection, filter bson.M, into *[]document, how *options.FindOptions) error {
	cursor, err := from.Find(ctx, filter, how)
	if err != nil {
		return err
	}
	return cursor.All(ctx, into)
}

func answer(c *gin.Context, body any, err error) {
	if errors.Is(err, pgx.ErrNoRows) {
		c.AbortWithStatus(http.StatusNotFound)
	} else if err != nil {
		c.AbortWithStatus(http.StatusServiceUnavailable)
	} else {
		c.JSON(http.StatusOK, body)
	}
}

// Every list that is asked for here names a genre, two bounds, an order and a direction.
func browse(c *gin.Context) {
	var hits, contents, counts []document
	var total int64
	filter := bson.M{"genreKey": strings.ToLower(c.Query("genre"))}
	if tag := c.Query("tags"); tag != "" {
		filter["tags"] = strings.ToLower(tag)
	}
	for name, scale := range map[string]float64{"bpm": 1, "price": 100} {
		if bounds := c.QueryMap(name); len(bounds) == 2 {
			low, _ := strconv.ParseFloat(bounds["min"], 64)
			high, _ := strconv.ParseFloat(bounds["max"], 64)
			filter[name] = bson.M{"$gte": low * scale, "$lte": high * scale}
		}
	}
	field := map[string]string{"title": "titleKey", "createdAt": "createdAt", "price": "price"}[c.Query("sortBy")]
	direction := map[string]int{"asc": 1, "desc": -1}[c.Query("sortOrder")]
	order := options.Find().SetSort(bson.D{{Key: field, Value: direction}, {Key: "_id", Value: direction}}).SetLimit(20)
	searching, ctx := errgroup.WithContext(c.Request.Context())
	searching.Go(func() error { return all(ctx, index, filter, &hits, order.SetProjection(bson.M{"_id": 1})) })
	searching.Go(func() (err error) {
		total, err = index.CountDocuments(ctx, filter, options.Count().SetLimit(10001))
		return err
	})
	if err := searching.Wait(); err != nil {
		answer(c, nil, err)
		return
	}
	ids, keys, rows := make([]uuid.UUID, len(hits)), make(bson.A, len(hits)), make([]beat, len(hits))
	position := make(map[uuid.UUID]int, len(hits))
	for place, hit := range hits {
		ids[place], keys[place], position[hit.id()] = hit.id(), key(hit.id()), place
	}
	among := bson.M{"_id": bson.M{"$in": keys}}
	fetching, ctx := errgroup.WithContext(c.Request.Context())
	fetching.Go(func() error {
		found, err := postgres.Query(ctx, core+"b.id = ANY($1)", ids)
		for row := (beat{}); err == nil && found.Next(); rows[position[row.ID]] = row {
			err = row.scan(found)
		}
		return err
	})
	fetching.Go(func() error { return all(ctx, beats, among, &contents, options.Find().SetProjection(listed)) })
	fetching.Go(func() error { return all(ctx, analytics, among, &counts, options.Find().SetProjection(totals)) })
	err := fetching.Wait()
	for _, content := range contents {
		rows[position[content.id()]].Content = content.Content
	}
	for _, count := range counts {
		rows[position[count.id()]].Stats = count.Stats
	}
	answer(c, gin.H{"items": rows, "page": gin.H{"limit": 20, "total": total, "totalIsExact": total <= 10000}}, err)
}

func main() {
	client, err := mongo.Connect(context.Background(), options.Client().ApplyURI(os.Getenv("MONGO_URI")).SetMaxPoolSize(8))
	if err == nil {
		postgres, err = pgxpool.Connect(context.Background(), os.Getenv("POSTGRES_URL"))
	}
	if err != nil {
		log.Fatal(err)
	}
	of := client.Database(os.Getenv("MONGO_DATABASE")).Collection
	beats, analytics, index = of("beats"), of("beat_analytics"), of("search_index")
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/api/beats/:id", detail)
	router.GET("/api/beats", browse)
	router.GET("/api/auth/me", me)
	log.Fatal(router.Run("127.0.0.1:" + os.Getenv("PORT")))
}
