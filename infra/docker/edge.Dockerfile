# docker build --platform linux/arm64 -f infra/docker/edge.Dockerfile -t ask-the-expert/edge:0.1.0 .
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS dependencies
ARG TARGETARCH
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY infra/docker/install.sh ./
RUN sh install.sh "$TARGETARCH"

# Nothing runs in this stage, so an image for another architecture needs no emulation.
FROM node:24-bookworm-slim
WORKDIR /app
ENV HOST=0.0.0.0 PORT=8080
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY models ./models
COPY shared ./shared
COPY services/edge ./services/edge
USER 1000:1000
EXPOSE 8080
CMD ["node", "services/edge/main.ts"]
