# docker build --platform linux/arm64 -f infra/docker/expert.Dockerfile -t ask-the-expert/expert:0.1.0 .
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS dependencies
ARG TARGETARCH
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY infra/docker/install.sh ./
RUN sh install.sh "$TARGETARCH"

# Nothing runs in this stage, so an image for another architecture needs no emulation.
FROM node:24-bookworm-slim
WORKDIR /app
ENV HOST=0.0.0.0 ASK_HEALTH_PORT=8081
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY models ./models
COPY shared ./shared
COPY services/expert ./services/expert
USER 1000:1000
EXPOSE 8081
CMD ["node", "services/expert/main.ts"]
